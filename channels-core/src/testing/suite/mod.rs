//! What every channel layer promises, as tests.

mod capacity;
mod connections;
mod delivery;
mod groups;
mod member;
mod names;
mod presence;
mod receiving;

use std::{future::Future, rc::Rc, time::Duration};

use crate::{Layer, RawEvent, event, layer::Limits};

pub use self::{
    capacity::{
        a_full_channel_refuses_what_is_sent_until_there_is_room, a_full_member_is_no_error_but_a_number_in_the_report,
        an_event_that_nobody_takes_in_time_is_gone, the_first_pattern_that_fits_says_how_much_a_channel_holds,
    },
    connections::{
        a_connection_that_is_busy_holds_as_much_as_a_channel, an_event_reaches_one_connection_by_its_channel_name,
        connections_of_all_processes_get_what_is_sent_to_their_group_once,
        one_senders_events_keep_their_order_by_whichever_way_they_come,
        who_has_ended_is_in_no_group_and_is_no_error_to_send_to,
    },
    delivery::{
        a_flushed_layer_has_forgotten_events_and_groups, a_typed_event_arrives_as_what_it_was,
        equal_events_are_told_apart, events_of_one_sender_arrive_in_order,
        handles_work_on_threads_that_know_nothing_of_actix, what_is_sent_to_a_channel_is_received_there_once,
    },
    groups::{
        a_group_tells_its_members, nothing_that_is_sent_after_a_join_is_missed,
        what_is_sent_to_a_group_reaches_its_members_and_nobody_else,
        who_is_left_out_gets_nothing_and_who_is_in_two_groups_gets_it_once, who_joins_twice_is_a_member_once,
    },
    names::{a_new_channel_has_a_name_of_its_own, every_call_refuses_a_name_that_is_none_and_says_why},
    presence::{
        a_person_on_two_devices_is_one_with_two_entries, members_are_told_who_comes_and_changes_and_goes,
        nobody_is_missed_between_a_list_and_what_is_told_after_it, presence_ends_with_its_connection_however_that_ends,
        presence_out_of_bounds_is_refused_and_says_why, who_is_present_is_listed_with_metadata_in_every_process,
    },
    receiving::{
        cancelling_receive_at_any_moment_loses_and_doubles_nothing, those_who_wait_on_one_channel_share_its_events,
    },
};

/// What should happen happens within this time, or does not happen.
const DEADLINE: Duration = Duration::from_secs(20);

/// The layer under test, as one process has it and as another has it.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{InMemoryChannelLayer, Layer, testing::suite::Subject};
///
/// let layer = Layer::new(InMemoryChannelLayer::default());
/// let subject = Subject::new(layer.clone(), layer); // there is one process only
/// # drop(subject);
/// ```
#[derive(Clone, Debug)]
pub struct Subject {
    near: Layer,
    far: Layer,
    broadcasts: bool,
    is_ordered: bool,
    is_apart: bool,
}

impl Subject {
    /// One layer in two processes; a layer of one process is given twice.
    #[must_use]
    pub fn new(near: Layer, far: Layer) -> Self {
        Self { near, far, broadcasts: false, is_ordered: true, is_apart: false }
    }

    /// The layer only hands on what is sent: a named channel is no queue but heard by all who listen, nothing is ever full, and
    /// who is in a group is known to each process for itself. What the layer so does not promise is not tested.
    #[must_use]
    pub fn broadcasts(mut self) -> Self {
        self.broadcasts = true;
        self
    }

    /// A group may be on one node of a cluster and its members' processes on another: what comes to a connection by its name and what
    /// comes by its group keep an order each, and no common one.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.is_apart = true;
        self
    }

    /// The same over several hosts; and a named channel is spread over them, and so keeps no order.
    #[must_use]
    pub fn spread(mut self) -> Self {
        self.is_ordered = false;
        self.apart()
    }

    fn crosses(&self) -> bool {
        self.near.get_ref().hub().node() != self.far.get_ref().hub().node()
    }
}

/// Runs one promise on a runtime of its own. [`layer_suite!`](crate::layer_suite!) calls it for each.
///
/// # Panics
///
/// When the layer breaks the promise.
pub fn run<F: Future<Output = ()>>(make: impl Fn(Limits) -> Subject + 'static, promise: impl FnOnce(Make) -> F) {
    let make: Make = Rc::new(make);
    crate::run(async {
        if tokio::time::timeout(3 * DEADLINE, promise(make)).await.is_err() {
            panic!("the promise was not kept within {:?}", 3 * DEADLINE);
        }
    });
}

/// Makes a layer with these limits: each time another one, which shares nothing with those before.
pub type Make = Rc<dyn Fn(Limits) -> Subject>;

/// The layer, once it is ready: a broker may have to be connected to.
async fn ready(make: &Make, limits: Limits) -> Subject {
    let subject = make(limits);
    within(async {
        while !(subject.near.is_ready() && subject.far.is_ready()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    subject
}

fn small() -> Limits {
    Limits { capacity: 3, ..Limits::default() }
}

fn numbered(n: usize) -> RawEvent {
    event!({"type": "numbered", "n": n})
}

/// What the future gives, within the deadline.
#[track_caller]
fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(DEADLINE, future).await {
            Ok(value) => value,
            Err(_) => panic!("nothing within {DEADLINE:?} at {place}"),
        }
    }
}

/// The number of the next event on a channel.
async fn next(layer: &Layer, channel: &str) -> usize {
    let event = within(layer.receive(channel)).await.expect("it can be received on");
    event.decode::<RawEvent>().expect("it is one of ours").get("n").expect("it has a number")
}

/// The numbers that wait on a channel: a mark is sent, and what comes before it was there. The mark is of the same sender as what
/// it is to come behind.
async fn waiting(sender: &Layer, layer: &Layer, channel: &str) -> Vec<usize> {
    const MARK: usize = usize::MAX >> 1;
    let mut numbers = Vec::new();
    while sender.send(channel, numbered(MARK)).await.is_err() {
        numbers.push(next(layer, channel).await); // there is no room for it
    }
    loop {
        match next(layer, channel).await {
            MARK => return numbers,
            n => numbers.push(n),
        }
    }
}

/// Tests a channel layer: each promise that every layer makes becomes one `#[test]`.
///
/// It takes a function that makes a [`Subject`](crate::testing::suite::Subject) with given
/// [`Limits`](crate::layer::Limits).
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// use channels::{InMemoryChannelLayer, Layer, layer::Limits, testing::suite::Subject};
///
/// fn make(limits: Limits) -> Subject {
///     let layer = Layer::new(InMemoryChannelLayer::new(limits));
///     Subject::new(layer.clone(), layer)
/// }
///
/// # #[allow(unnameable_test_items)]
/// # fn main() {
/// channels::layer_suite!(make);
/// # }
/// ```
#[macro_export]
macro_rules! layer_suite {
    ($make:expr) => {
        $crate::layer_suite! { @each $make;
            what_is_sent_to_a_channel_is_received_there_once
            a_typed_event_arrives_as_what_it_was
            events_of_one_sender_arrive_in_order
            equal_events_are_told_apart
            handles_work_on_threads_that_know_nothing_of_actix
            a_flushed_layer_has_forgotten_events_and_groups
            what_is_sent_to_a_group_reaches_its_members_and_nobody_else
            who_joins_twice_is_a_member_once
            nothing_that_is_sent_after_a_join_is_missed
            a_group_tells_its_members
            who_is_left_out_gets_nothing_and_who_is_in_two_groups_gets_it_once
            an_event_reaches_one_connection_by_its_channel_name
            connections_of_all_processes_get_what_is_sent_to_their_group_once
            one_senders_events_keep_their_order_by_whichever_way_they_come
            a_connection_that_is_busy_holds_as_much_as_a_channel
            who_has_ended_is_in_no_group_and_is_no_error_to_send_to
            who_is_present_is_listed_with_metadata_in_every_process
            members_are_told_who_comes_and_changes_and_goes
            a_person_on_two_devices_is_one_with_two_entries
            presence_ends_with_its_connection_however_that_ends
            nobody_is_missed_between_a_list_and_what_is_told_after_it
            presence_out_of_bounds_is_refused_and_says_why
            a_full_channel_refuses_what_is_sent_until_there_is_room
            a_full_member_is_no_error_but_a_number_in_the_report
            the_first_pattern_that_fits_says_how_much_a_channel_holds
            an_event_that_nobody_takes_in_time_is_gone
            those_who_wait_on_one_channel_share_its_events
            cancelling_receive_at_any_moment_loses_and_doubles_nothing
            a_new_channel_has_a_name_of_its_own
            every_call_refuses_a_name_that_is_none_and_says_why
        }
    };
    (@each $make:expr; $($promise:ident)*) => {
        $(
            #[test]
            fn $promise() {
                $crate::testing::suite::run($make, $crate::testing::suite::$promise);
            }
        )*
    };
}
