//! Whose hand is in the file: what the events tell about whether it is finished. Pure.
//!
//! | event | tells |
//! | --- | --- |
//! | closed after writing, moved into place | it is finished, and to be read |
//! | content changed | it is being written, until it is closed |
//! | created, removed, moved away, events lost | nothing, the age decides; a link is created finished |
//! | attributes changed | nothing new about a file that is being written or finished |

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind};
use std::path::Path;

/// Whether the end of a write raises an event here: inotify(7) tells, kqueue(2) does not.
const HEARS_CLOSE: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// What is known of the file by its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hand {
    /// Nothing happened to it since it was read.
    Rest,
    /// Something did; whether it is finished only its age can tell.
    #[default]
    Perhaps,
    /// Somebody is writing it.
    Writing,
    /// It is finished, and not read yet.
    Finished,
}

impl Hand {
    /// What is known after an event at `path`, the file; None if the event says nothing about it.
    pub fn after(self, event: &Event, path: &Path) -> Option<Hand> {
        if event.need_rescan() {
            return Some(Hand::Perhaps);
        }
        let touches = event.paths.iter().any(|touched| touched == path);
        if !touches {
            return None;
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Hand::Finished),
            // Reading it is an access too.
            EventKind::Access(_) => None,
            EventKind::Modify(ModifyKind::Name(mode)) => match mode {
                RenameMode::To => Some(Hand::Finished),
                // It repeats what the two others have told.
                RenameMode::Both => None,
                _ => Some(Hand::Perhaps),
            },
            EventKind::Modify(ModifyKind::Metadata(_)) if self != Hand::Rest => Some(self),
            EventKind::Modify(ModifyKind::Metadata(_)) => Some(Hand::Perhaps),
            EventKind::Modify(_) if HEARS_CLOSE => Some(Hand::Writing),
            _ => Some(Hand::Perhaps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Hand::{Finished, Perhaps, Rest, Writing};
    use super::*;
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind};

    #[test]
    fn what_events_tell() {
        let event = |kind| Event::new(kind).add_path("/d/accounts".into());
        let name = |mode| event(EventKind::Modify(ModifyKind::Name(mode)));
        let change = event(EventKind::Modify(ModifyKind::Data(DataChange::Any)));
        let attributes = event(EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)));
        let close = |mode| event(EventKind::Access(AccessKind::Close(mode)));
        let all = [Rest, Perhaps, Writing, Finished];
        for (event, want) in [
            (close(AccessMode::Write), [Some(Finished); 4]),
            (name(RenameMode::To), [Some(Finished); 4]),
            (change.clone(), [Some(if HEARS_CLOSE { Writing } else { Perhaps }); 4]),
            (event(EventKind::Create(CreateKind::File)), [Some(Perhaps); 4]),
            (event(EventKind::Remove(RemoveKind::File)), [Some(Perhaps); 4]),
            (name(RenameMode::From), [Some(Perhaps); 4]),
            (Event::new(EventKind::Other).set_flag(Flag::Rescan), [Some(Perhaps); 4]),
            (attributes, [Some(Perhaps), Some(Perhaps), Some(Writing), Some(Finished)]),
            (close(AccessMode::Read), [None; 4]),
            (event(EventKind::Access(AccessKind::Open(AccessMode::Any))), [None; 4]),
            (name(RenameMode::Both), [None; 4]),
            (Event { paths: vec!["/d/others".into()], ..change }, [None; 4]),
        ] {
            let got = all.map(|hand| hand.after(&event, Path::new("/d/accounts")));
            assert_eq!(got, want, "{event:?}");
        }
    }
}
