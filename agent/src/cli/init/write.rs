//! What is to be written, decided whole; then written whole or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{InitArgs, answers::Answers, find};
use crate::cli::map;

/// Where the service's drop-ins lie.
pub(super) const DROP_IN_DIR: &str = "/etc/systemd/system/docksync-agent.service.d";
const DROP_IN: &str = "export-folder.conf";
/// Most kinds of files of one folder that get a profile.
const KINDS_MAX: usize = 20;

/// One kind of file and its profile.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) folder: PathBuf,
    pub(super) example: PathBuf,
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Whether the settings name it: one that lacks fields would have them refused.
    pub(super) is_whole: bool,
    /// How well the profile reads the example.
    pub(super) verdict: String,
}

/// All files to be written.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) centre: String,
    pub(super) feeds: Vec<Feed>,
    pub(super) drop_in: Option<(PathBuf, String)>,
    /// A drop-in that is there already and stays, and what would have been written.
    pub(super) left: Option<(PathBuf, String)>,
    /// Folders in which no export lies yet.
    pub(super) empty: Vec<PathBuf>,
    config: (PathBuf, String),
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {source}")]
pub(super) struct WriteError {
    path: PathBuf,
    source: io::Error,
}

/// Decides.
pub(super) fn plan(args: &InitArgs, answers: &Answers, now: Timestamp) -> Plan {
    let base = absolute(&args.config).parent().unwrap_or(Path::new("/")).to_path_buf();
    let mut feeds: Vec<Feed> = Vec::new();
    let mut names = BTreeSet::new();
    for folder in &answers.folders {
        for example in kinds(folder) {
            feeds.push(feed(folder, example, &base, &mut names, now));
        }
    }
    let drop_in = (!args.no_drop_in).then(|| (args.drop_in.join(DROP_IN), drop_in(args, &answers.folders)));
    let (left, drop_in) = match drop_in {
        Some((path, text)) if path.exists() => (Some((path, text)), None),
        other => (None, other),
    };
    let empty =
        answers.folders.iter().filter(|folder| feeds.iter().all(|feed| feed.folder != **folder)).cloned().collect();
    let config = (args.config.clone(), settings(args, answers, &feeds));
    Plan { centre: answers.centre.clone(), config, feeds, drop_in, left, empty }
}

/// The newest file of each kind: of each pattern of names.
fn kinds(folder: &Path) -> Vec<PathBuf> {
    let mut kinds = BTreeMap::new();
    for path in find::files(folder) {
        let kind = map::pattern_of(&path.file_name().unwrap_or_default().to_string_lossy());
        // Only of a new kind is the file itself looked at: a folder may hold years of them.
        if kinds.len() < KINDS_MAX && !kinds.contains_key(&kind) && find::is_export(&path) {
            kinds.insert(kind, path);
        }
    }
    kinds.into_values().collect()
}

fn feed(folder: &Path, example: PathBuf, base: &Path, names: &mut BTreeSet<String>, now: Timestamp) -> Feed {
    let mut name = feed_name(&map::profile_name_of(&example.file_name().unwrap_or_default().to_string_lossy()));
    if names.contains(&name) {
        name =
            feed_name(&format!("{}-{name}", folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase()));
    }
    let (stem, mut n) = (name.clone(), 2);
    let file = |name: &str| base.join("feeds").join(format!("{name}.toml"));
    // A profile that is there was written by somebody, and stays.
    while file(&name).exists() || !names.insert(name.clone()) {
        name = format!("{stem}-{n}");
        n += 1;
    }
    let path = file(&name);
    let guessed = map::profile_of(&example, &name, now);
    let (text, is_whole, verdict) = match guessed {
        Ok(guessed) => (guessed.text, guessed.is_whole, guessed.verdict),
        Err(why) => (String::new(), false, format!("no profile was written: {why}")),
    };
    Feed { folder: folder.to_path_buf(), example, path, text, is_whole, verdict }
}

/// In the alphabet that names of feeds have.
fn feed_name(text: &str) -> String {
    let parts: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "feed".to_owned() } else { parts.join("-") }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn settings(args: &InitArgs, answers: &Answers, feeds: &[Feed]) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = format!(
        "# Settings of the agent at this site. Every key with its default: /usr/share/docksync/agent.toml\n\
         # Check them:  docksync-agent check {}\n\n[site]\nid = {}\n",
        args.config.display(),
        quoted(answers.site.as_str())
    );
    if !answers.name.is_empty() {
        text.push_str(&format!("name = {}\n", quoted(&answers.name)));
    }
    text.push_str(&format!("time_zone = {}          # zone of local times in exports\n\n", quoted(&answers.time_zone)));
    text.push_str(&format!("[centre]\nhost = {}\n\n", quoted(&answers.centre)));
    if let Some(state) = &args.state {
        text.push_str(&format!("[state]\ndir = {}\n\n", quoted(&absolute(state).to_string_lossy())));
    }
    if !answers.contact.is_empty() {
        text.push_str(&format!(
            "[status]\ncontact = {}          # whom people should call\n\n",
            quoted(&answers.contact)
        ));
    }
    for feed in feeds {
        let file = feed.path.file_name().unwrap_or_default().to_string_lossy();
        let (folder, profile) = (quoted(&feed.folder.to_string_lossy()), quoted(&format!("feeds/{file}")));
        let feed_text = format!("[[feed]]\nfolder = {folder}\nprofile = {profile}\n");
        match feed.is_whole {
            true => text.push_str(&format!("{feed_text}\n")),
            false => {
                let example = feed.example.display();
                text.push_str(&format!(
                    "# Not all could be guessed from {example}: complete the profile, then take these lines in.\n"
                ));
                feed_text.lines().for_each(|line| text.push_str(&format!("# {line}\n")));
                text.push('\n');
            }
        }
    }
    text
}

/// Opens the folders to the service, which otherwise may only read, and sees nothing of /home.
fn drop_in(args: &InitArgs, folders: &[PathBuf]) -> String {
    let mut text = "# Opens the export folders to the agent. Written by docksync-agent init.\n".to_owned();
    if let Some(state) = &args.state {
        // These two keys take the rest of the line as it stands.
        let raw = |path: &Path| absolute(path).to_string_lossy().replace('%', "%%");
        let (config, state, writes) = (raw(&args.config), raw(state), word(&absolute(state)));
        text.push_str(&format!(
            "# The state folder is another than the package's; it belongs to the service's user.\n[Unit]\nConditionPathExists=\n\
             ConditionPathExists={config}\nConditionPathExists={state}/identity/site.key\n[Service]\nStateDirectory=\nReadWritePaths={writes}\n"
        ));
    } else {
        text.push_str("[Service]\n");
    }
    let groups: BTreeSet<u32> = folders.iter().filter_map(|folder| group_needed(folder)).collect();
    for group in groups {
        text.push_str(&format!("SupplementaryGroups={group}\n"));
    }
    for folder in folders {
        let hidden = ["/home", "/root", "/run/user"].iter().any(|root| folder.starts_with(root));
        let key = if hidden { "BindPaths" } else { "ReadWritePaths" };
        text.push_str(&format!("{key}={}\n", word_of(&format!("-{}", folder.display()))));
    }
    let closed: Vec<&PathBuf> = folders.iter().filter(|folder| !is_open(folder)).collect();
    for folder in closed {
        text.push_str(&format!(
            "# Neither its group nor others may write into {0}, and exports stay there:\n#   chgrp docksync-agent {0} && chmod 2775 {0}\n",
            folder.display()
        ));
    }
    text
}

/// The group that may write into a folder, where others may not; root's own is never joined.
fn group_needed(folder: &Path) -> Option<u32> {
    let meta = fs::metadata(folder).ok()?;
    (meta.mode() & 0o002 == 0 && meta.mode() & 0o020 != 0 && meta.gid() != 0).then(|| meta.gid())
}

fn is_open(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|meta| meta.mode() & 0o002 != 0) || group_needed(folder).is_some()
}

fn word(path: &Path) -> String {
    word_of(&path.to_string_lossy())
}

/// A word of a list as systemd reads it (systemd.syntax(7), "quoting"; systemd.unit(5), "specifiers").
fn word_of(text: &str) -> String {
    let doubled = text.replace('%', "%%");
    if doubled.chars().all(|c| c.is_alphanumeric() || "/._-%".contains(c)) {
        return doubled;
    }
    format!("\"{}\"", doubled.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Plan {
    /// Every file that is written, settings last: with them the site counts as set up.
    fn files(&self) -> Vec<(&Path, &str)> {
        let profiles = self.feeds.iter().filter(|f| !f.text.is_empty()).map(|f| (f.path.as_path(), f.text.as_str()));
        let drop_in = self.drop_in.iter().map(|(path, text)| (path.as_path(), text.as_str()));
        profiles.chain(drop_in).chain([(self.config.0.as_path(), self.config.1.as_str())]).collect()
    }

    /// Their paths.
    pub(super) fn paths(&self) -> Vec<&Path> {
        self.files().into_iter().map(|(path, _)| path).collect()
    }

    /// Writes all, or takes back what was written.
    pub(super) fn write(&self) -> Result<(), WriteError> {
        let mut written: Vec<&Path> = Vec::new();
        for (path, text) in self.files() {
            if let Err(source) = put(path, text) {
                written.iter().for_each(|path| drop(fs::remove_file(path)));
                return Err(WriteError { path: path.to_owned(), source });
            }
            written.push(path);
        }
        Ok(())
    }
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    let mut file = File::create_new(path)?;
    let filled = file
        .write_all(text.as_bytes())
        // Nothing in it is secret, and the service's user must read it, whatever the umask of root is.
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o644)))
        .and_then(|()| file.sync_all());
    if filled.is_err() {
        // It is ours, and half of it would be in the way of the next attempt.
        drop(fs::remove_file(path));
    }
    filled
}
