//! Whatever strangers do: the server stays up, its memory bounded, and the others do not notice. The server is a process of
//! its own, so that its memory is nobody else's.

mod bystander;
mod floods;
mod noise;
mod slow;
mod target;
