//! Who has got what: finds a lost, doubled or reordered message when the next one arrives, and names what is missing
//! when nothing more does.

use anyhow::{Result, bail};

/// The counts of every member for every talker of its room.
pub(super) struct Ledger {
    talkers: usize,
    /// For each member, what it is to get next from each talker.
    next: Vec<u32>,
    received: u64,
}

impl Ledger {
    /// Nobody has got anything.
    pub(super) fn new(members: usize, talkers: usize) -> Self {
        Self { talkers, next: vec![0; members * talkers], received: 0 }
    }

    /// A member got a talker's message.
    ///
    /// # Errors
    ///
    /// It is not the next one of that talker.
    pub(super) fn note(&mut self, member: usize, talker: usize, number: u32) -> Result<()> {
        if talker >= self.talkers {
            bail!("member {member} got a message of talker {talker}, whom its room does not have");
        }
        let next = &mut self.next[member * self.talkers + talker];
        if number > *next {
            bail!(
                "member {member} got message {number} of talker {talker} without message {next} before it \
                 ({} lost or late)",
                number - *next
            );
        }
        if number < *next {
            bail!(
                "member {member} got message {number} of talker {talker} after message {} (twice or late)",
                *next - 1
            );
        }
        *next += 1;
        self.received += 1;
        Ok(())
    }

    /// How many messages arrived in all.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Which of the messages are missing where, if each talker (by member, then talker) has sent so many.
    pub(super) fn missing(&self, sent: impl Fn(usize, usize) -> u32) -> String {
        const NAMED: usize = 8;
        let mut lines = Vec::new();
        let (mut behind, mut messages) = (0, 0);
        for (place, next) in self.next.iter().enumerate() {
            let (member, talker) = (place / self.talkers, place % self.talkers);
            let sent = sent(member, talker);
            if *next < sent {
                behind += 1;
                messages += u64::from(sent - next);
                if lines.len() < NAMED {
                    let last = sent - 1;
                    lines.push(format!("\n  member {member} lacks messages {next} to {last} of talker {talker}"));
                }
            }
        }
        let more = if behind > lines.len() { format!("\n  and {} more", behind - lines.len()) } else { String::new() };
        format!("{messages} deliveries are missing, {} arrived{}{more}", self.received, lines.concat())
    }
}
