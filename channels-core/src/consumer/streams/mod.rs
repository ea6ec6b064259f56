//! Many streams over one socket, each with a consumer of its own.

mod demultiplexer;
mod stream;

pub use self::demultiplexer::Demultiplexer;
