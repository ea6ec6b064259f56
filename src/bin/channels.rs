//! The command `channels`: sends an event to a group, or to a channel, from a shell.

use std::process::ExitCode;

use channels::{Error, GroupReport, IntoEvent, Layer, RawEvent, Result};
use lexopt::{Arg, Parser, ValueExt};

const USAGE: &str = r#"usage: channels send <layer url> <group> <event>
       channels send --channel <layer url> <channel> <event>

Sends an event to every member of a group, or to one channel.

  <layer url>  a layer that other processes reach: redis://127.0.0.1:6379/0
  <event>      JSON with a type: '{"type": "chat.message", "text": "hi"}'
"#;

/// What the arguments say.
#[derive(Debug)]
enum Command {
    Help,
    Send { url: String, to: To, event: String },
}

#[derive(Debug)]
enum To {
    Group(String),
    Channel(String),
}

fn main() -> ExitCode {
    let command = match read(Parser::from_env()) {
        Ok(command) => command,
        Err(error) => return fail(&error, "\nsee: channels --help"),
    };
    match run(command) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, ""),
    }
}

fn fail(error: &Error, hint: &str) -> ExitCode {
    eprintln!("channels: {error}{hint}");
    ExitCode::FAILURE
}

fn read(mut arguments: Parser) -> Result<Command> {
    let (mut words, mut channel) = (Vec::new(), false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Long("channel") => channel = true,
            Arg::Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let mut words = words.into_iter();
    match words.next().as_deref() {
        Some("send") => {}
        Some(other) => return Err(Error::msg(format!("there is no command `{other}`; there is `send`"))),
        None => return Err(Error::msg("a command is missing; there is `send`")),
    }
    let to = if channel { "the channel" } else { "the group" };
    let mut next = |what: &str| words.next().ok_or_else(|| Error::msg(format!("{what} is missing")));
    let (url, to, event) = (next("the layer's URL")?, next(to)?, next("the event")?);
    if let Some(more) = words.next() {
        return Err(Error::msg(format!("`{more}` is one argument too many; the event is to be in quotes")));
    }
    Ok(Command::Send { url, to: if channel { To::Channel(to) } else { To::Group(to) }, event })
}

fn run(command: Command) -> Result<String> {
    let Command::Send { url, to, event } = command else { return Ok(USAGE.trim_end().to_owned()) };
    if url.starts_with("memory://") {
        let text = "a layer in memory ends at its process, and this is another one: nobody would hear of the event; \
                    give the URL of a layer that both reach, as redis://127.0.0.1:6379/0";
        return Err(Error::msg(text));
    }
    let event = parse(&event)?;
    channels::run(send(&Layer::from_url(&url)?, to, event))
}

fn parse(event: &str) -> Result<RawEvent> {
    let json = serde_json::from_str(event).map_err(|error| Error::msg(format!("the event is not JSON: {error}")))?;
    Ok(RawEvent::from_json(json)?)
}

/// Sends it, and says what became of it.
async fn send(layer: &Layer, to: To, event: impl IntoEvent) -> Result<String> {
    match to {
        To::Group(group) => {
            let report = layer.group_send(group, event).report().await?;
            let GroupReport { delivered, full, expired, processes, .. } = report;
            Ok(format!("delivered: {delivered}, full: {full}, expired: {expired}, handed to processes: {processes}"))
        }
        To::Channel(channel) => {
            layer.send(channel, event).await?;
            Ok("sent".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use channels::InMemoryChannelLayer;

    use super::*;

    #[test]
    fn an_event_goes_to_a_group_or_to_a_channel() {
        channels::run(async {
            let layer = Layer::new(InMemoryChannelLayer::default().capacity(1));
            layer.group_add("news", "reader").await?;
            let event = r#"{"type": "news.flash", "text": "rain"}"#;
            let to = || To::Group("news".to_owned());
            assert_eq!(
                send(&layer, to(), parse(event)?).await?,
                "delivered: 1, full: 0, expired: 0, handed to processes: 0"
            );
            assert_eq!(
                send(&layer, to(), parse(event)?).await?,
                "delivered: 0, full: 1, expired: 0, handed to processes: 0"
            );
            assert_eq!(layer.receive("reader").await?.decode::<RawEvent>()?["text"], "rain");
            assert_eq!(send(&layer, To::Channel("reader".to_owned()), parse(event)?).await?, "sent");
            assert_eq!(layer.receive("reader").await?.name(), "news.flash");
            Ok::<(), Error>(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    }
}
