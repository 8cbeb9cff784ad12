//! Determines from events whether a file is finished. Pure.
//!
//! | event | meaning |
//! | --- | --- |
//! | closed after writing, moved into place | the file is finished |
//! | content changed | the file is being written, until it is closed |
//! | created, removed, moved away, events lost | unclear: the age of the file decides; a link is finished when it is created |
//! | attributes changed | no change of state |

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind};
use std::path::Path;

/// Whether the end of a write raises an event on this system. inotify(7) has such an event, kqueue(2) has
/// not.
const HEARS_CLOSE: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The state of a file according to its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteState {
    /// Events do not show whether it is finished; its age does.
    #[default]
    Unclear,
    /// It is being written.
    Writing,
    /// Its writer has closed it, or it was moved into place.
    Finished,
}

impl WriteState {
    /// The state after an event at one of `paths`, the names of the file; `None` if the event is not about
    /// the file.
    #[must_use]
    pub fn after(self, event: &Event, paths: &[&Path]) -> Option<WriteState> {
        if event.need_rescan() {
            return Some(WriteState::Unclear);
        }
        let touches = event.paths.iter().any(|touched| paths.iter().any(|path| touched == path));
        if !touches {
            return None;
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(WriteState::Finished),
            // Reading raises an access event, too.
            EventKind::Access(_) => None,
            EventKind::Modify(ModifyKind::Name(mode)) => match mode {
                RenameMode::To => Some(WriteState::Finished),
                // Repeats the two other events of a rename.
                RenameMode::Both => None,
                _ => Some(WriteState::Unclear),
            },
            EventKind::Modify(ModifyKind::Metadata(_)) => Some(self),
            EventKind::Modify(_) if HEARS_CLOSE => Some(WriteState::Writing),
            _ => Some(WriteState::Unclear),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WriteState::{Finished, Unclear, Writing};
    use super::*;
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind};

    #[test]
    fn events_change_the_state() {
        let event = |kind| Event::new(kind).add_path("/d/accounts".into());
        let name = |mode| event(EventKind::Modify(ModifyKind::Name(mode)));
        let change = event(EventKind::Modify(ModifyKind::Data(DataChange::Any)));
        let attributes = event(EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)));
        let close = |mode| event(EventKind::Access(AccessKind::Close(mode)));
        let all = [Unclear, Writing, Finished];
        let written = if HEARS_CLOSE { Writing } else { Unclear };
        for (event, want) in [
            (close(AccessMode::Write), [Some(Finished); 3]),
            (name(RenameMode::To), [Some(Finished); 3]),
            (change.clone(), [Some(written); 3]),
            (Event { paths: vec!["/e/target".into()], ..change.clone() }, [Some(written); 3]),
            (event(EventKind::Create(CreateKind::File)), [Some(Unclear); 3]),
            (event(EventKind::Remove(RemoveKind::File)), [Some(Unclear); 3]),
            (name(RenameMode::From), [Some(Unclear); 3]),
            (Event::new(EventKind::Other).set_flag(Flag::Rescan), [Some(Unclear); 3]),
            (attributes, [Some(Unclear), Some(Writing), Some(Finished)]),
            (close(AccessMode::Read), [None; 3]),
            (event(EventKind::Access(AccessKind::Open(AccessMode::Any))), [None; 3]),
            (name(RenameMode::Both), [None; 3]),
            (Event { paths: vec!["/d/others".into()], ..change }, [None; 3]),
        ] {
            let got =
                all.map(|state| state.after(&event, &[Path::new("/d/accounts"), Path::new("/e/target")]));
            assert_eq!(got, want, "{event:?}");
        }
    }
}
