//! What the macros accept, and what becomes of it.
//!
//! Each file below `ui/*/pass/` is one rule; much of what is written there need only compile.
#![allow(dead_code, unreachable_pub, clippy::all, clippy::unwrap_used, reason = "it may be written, not: it should be")]
#![deny(non_ascii_idents)]

use std::fs;

#[path = "ui/consumer/pass/a_consumer_in_a_function.rs"]
mod a_consumer_in_a_function;
#[path = "ui/consumer/pass/a_consumer_that_a_macro_writes.rs"]
mod a_consumer_that_a_macro_writes;
#[path = "ui/consumer/pass/a_generic_consumer.rs"]
mod a_generic_consumer;
#[path = "ui/handler/pass/a_pure_handler_renders_once_for_all.rs"]
mod a_pure_handler_renders_once_for_all;
#[path = "ui/consumer/pass/a_receive_under_a_condition.rs"]
mod a_receive_under_a_condition;
#[path = "ui/consumer/pass/a_synchronous_consumer.rs"]
mod a_synchronous_consumer;
#[path = "ui/consumer/pass/another_path_to_channels.rs"]
mod another_path_to_channels;
#[path = "ui/handler/pass/conditions_hold_for_a_handler_everywhere.rs"]
mod conditions_hold_for_a_handler_everywhere;
#[path = "ui/consumer/pass/dispatch_by_hand.rs"]
mod dispatch_by_hand;
#[path = "ui/handler/pass/every_way_to_write_a_signature.rs"]
mod every_way_to_write_a_signature;
#[path = "ui/consumer/pass/hooks_alone.rs"]
mod hooks_alone;
#[path = "ui/consumer/pass/hooks_that_return_a_future.rs"]
mod hooks_that_return_a_future;
#[path = "ui/handler/pass/names_come_from_types_attributes_and_methods.rs"]
mod names_come_from_types_attributes_and_methods;
#[path = "ui/consumer/pass/no_warning_in_generated_code.rs"]
pub mod no_warning_in_generated_code;
#[path = "ui/consumer/pass/receive_says_what_a_client_may_send.rs"]
mod receive_says_what_a_client_may_send;
#[path = "ui/event/pass/structs_and_enums.rs"]
mod structs_and_enums;
#[path = "ui/consumer/pass/the_registry_knows_it.rs"]
mod the_registry_knows_it;

#[test]
fn every_file_is_listed() {
    for group in fs::read_dir("tests/ui").unwrap() {
        let Ok(files) = fs::read_dir(group.unwrap().path().join("pass")) else { continue };
        for file in files {
            let path = file.unwrap().path();
            let path = path.strip_prefix("tests").unwrap().display().to_string();
            assert!(include_str!("accepts.rs").contains(&path), "{path} is not in accepts.rs");
        }
    }
}
