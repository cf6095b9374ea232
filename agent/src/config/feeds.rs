//! Reads `[[feed]]`, in the main file and in the files of the feeds folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use docksync_proto::identity::hex;
use sha2::{Digest as _, Sha256};

use super::{
    FEEDS_MAX, FeedConfig, Loaded,
    problem::Problem,
    read::{text_of, whole},
    section::{Document, Section},
    units,
};
use crate::decode::profile;

/// Reads one feed and its profile.
pub(super) fn feed(section: Section<'_, '_>, base: &Path, loaded: &mut Loaded) -> Option<FeedConfig> {
    let folder = section.required_text("folder", "the folder in which the exports appear").map(PathBuf::from);
    if let (Some(folder), Some(node)) = (&folder, section.node("folder"))
        && !folder.is_absolute()
    {
        section.wrong(node, "C029", "`folder` must start with /".to_owned(), "the agent has no working folder");
    }
    let path = section.required_text("profile", "as \"feeds/pick-csv.toml\"").map(|path| base.join(path));
    let name = section.text("name").map(str::to_owned);
    let expect_every = section.measured("expect_every", units::duration);
    let expect_hours = section.measured("expect_hours", units::hours);
    let answers = section.text("answers").map(PathBuf::from);
    if let (Some(false), Some(node)) = (answers.as_ref().map(|path| path.is_absolute()), section.node("answers")) {
        section.wrong(node, "C029", "`answers` must start with /".to_owned(), "the agent has no working folder");
    }
    let profile_node = section.node("profile");
    let read_at = section.place();
    let path = path?;
    let read = read_profile(&path, loaded);
    if let (None, Some(node)) = (&read, profile_node)
        && !path.exists()
    {
        section.wrong(node, "C030", format!("no file {}", path.display()), "paths start at the folder of this file");
    }
    section.close();
    let (profile, profile_digest) = read?;
    let profile = Arc::new(profile);
    let name = name.unwrap_or_else(|| profile.name.clone());
    Some(FeedConfig {
        name,
        folder: folder?,
        profile,
        profile_path: path,
        profile_digest,
        expect_every,
        expect_hours,
        answers,
        read_at,
    })
}

/// The profile, and what tells this text of it from others.
fn read_profile(path: &Path, loaded: &mut Loaded) -> Option<(profile::Profile, String)> {
    if !path.exists() {
        return None;
    }
    let is_new = !loaded.files.iter().any(|file| file == path);
    if is_new {
        loaded.files.push(path.to_path_buf());
    }
    let mut unreadable = Vec::new();
    let text = text_of(path, &mut unreadable);
    let digest = text.as_ref().map(|text| hex(&Sha256::digest(text)[..8])).unwrap_or_default();
    let read = text.map(|text| profile::read(path, &text));
    let problems = match &read {
        Some(Err(problems)) => problems.clone(),
        Some(Ok(_)) => Vec::new(),
        None => unreadable,
    };
    // A profile used twice is named once.
    if is_new {
        loaded.problems.extend(problems);
    }
    Some((read?.ok()?, digest))
}

/// Reads every `*.toml` of the folder, in the order of names. A folder that is not there is an empty one.
pub(super) fn read_folder(folder: &Path, feeds: &mut Vec<FeedConfig>, loaded: &mut Loaded) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    for path in paths.iter().take(FEEDS_MAX) {
        loaded.files.push(path.clone());
        let Some(text) = text_of(path, &mut loaded.problems) else { continue };
        let document = Document::parse(path.clone(), &text);
        if let Some(root) = document.root() {
            for section in root.sections("feed") {
                feeds.extend(feed(section, path.parent().unwrap_or(Path::new("")), loaded));
            }
            root.close();
        }
        loaded.problems.extend(document.into_problems());
    }
}

/// Two feeds with one name, or with one folder and overlapping files, would take each other's files.
pub(super) fn refuse_twins(main: &Path, feeds: &[FeedConfig], problems: &mut Vec<Problem>) {
    if feeds.len() > FEEDS_MAX {
        let message = format!("{} feeds, the limit is {FEEDS_MAX}", feeds.len());
        problems.push(whole(main, "C031", message, String::new()));
    }
    let mut names = BTreeMap::new();
    for feed in feeds {
        if feed.name.is_empty() || !feed.name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            let message = format!("feed name `{}` may hold only letters, digits, '-' and '_'", feed.name);
            problems.push(whole(&feed.profile_path, "C032", message, "give the feed a `name`".to_owned()));
        }
        if let Some(other) = names.insert(&feed.name, &feed.folder) {
            let message = format!("two feeds are named `{}`", feed.name);
            let help =
                format!("folders {} and {}: give one a `name` of its own", other.display(), feed.folder.display());
            problems.push(whole(main, "C033", message, help));
        }
    }
    for (at, feed) in feeds.iter().enumerate() {
        let shares = |other: &&FeedConfig| {
            other.folder == feed.folder && other.profile.matches.iter().any(|m| feed.profile.matches.contains(m))
        };
        if let Some(other) = feeds[..at].iter().find(shares) {
            let message =
                format!("feeds `{}` and `{}` take the same files of {}", other.name, feed.name, feed.folder.display());
            problems.push(whole(main, "C034", message, "give them other `match` patterns".to_owned()));
        }
    }
}
