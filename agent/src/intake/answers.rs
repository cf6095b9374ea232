//! Writes what partners and warehouse systems are told about their files: acknowledgments of a standard, response files of a
//! profile. Only after the events are on disk; aside, synced, renamed. Written again after a crash, a file has the same name.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::{IntakeError, shelve};
use crate::decode::{FileFacts, Survey, profile::Profile};

/// An answer that waits until its file is safe.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ready {
    name: String,
    text: String,
}

/// Answers to a file, in order.
pub(super) fn of(profile: &Profile, file: &FileFacts, survey: &Survey) -> Vec<Ready> {
    let count = survey.answers.len();
    let standard = survey.answers.iter().enumerate().map(|(at, answer)| {
        let number = if count > 1 { format!(".{}", at + 1) } else { String::new() };
        Ready { name: format!("{}{number}.{}", file.name, answer.kind.to_lowercase()), text: answer.text.clone() }
    });
    let own = profile.response.as_ref().map(|rule| {
        let (name, text) = rule.response(file, survey);
        Ready { name, text }
    });
    standard.chain(own).collect()
}

/// Writes answers into the feed's folder for them.
pub(super) fn write(folder: &Path, answers: &[Ready]) -> Result<(), IntakeError> {
    for answer in answers {
        // A name comes from the export's: nothing of it may lead elsewhere.
        let name = Path::new(&answer.name).file_name().unwrap_or_default();
        let (target, mut aside) = (folder.join(name), PathBuf::from(folder).join(name).into_os_string());
        aside.push(".tmp");
        let put = || {
            std::fs::create_dir_all(folder)?;
            let mut file = File::create(&aside)?;
            file.write_all(answer.text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&aside, &target)?;
            shelve::sync_dir(folder)
        };
        put().map_err(|source| IntakeError::Answer { path: target.clone(), source })?;
    }
    Ok(())
}
