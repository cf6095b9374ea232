//! Which decoder `map test` reads with: that of a profile, of a feed, of a standard, or of the standard that the file is in.

use std::{fs::File, io::Read as _, path::Path, sync::Arc};

use docksync_proto::site::SiteId;
use jiff::tz::TimeZone;

use super::TestArgs;
use crate::{
    cli::exit,
    config::{self, problem::Problem, problem::suggestion},
    decode::{
        Decoder,
        guess::{self, Guess},
        profile::{self, DialectKind, Parse, Profile},
    },
};

/// Site of events where neither flag nor settings name one.
const NO_SITE: &str = "TEST";

/// How files are read.
pub(super) struct Source {
    /// Name of the feed that events carry.
    pub(super) feed: String,
    pub(super) decoder: Decoder,
}

/// Why no decoder was found.
pub(super) struct Refused {
    pub(super) code: u8,
    pub(super) text: String,
}

impl Refused {
    fn usage(text: impl Into<String>) -> Self {
        Self { code: exit::USAGE, text: text.into() }
    }

    fn config(text: impl Into<String>) -> Self {
        Self { code: exit::CONFIG, text: text.into() }
    }
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect()
}

/// Finds the decoder that the flags name.
pub(super) fn source(args: &TestArgs) -> Result<Source, Refused> {
    let is_of_feed = args.feed.is_some() && args.profile.is_none() && args.dialect.is_none();
    let settings = if is_of_feed {
        let loaded = config::load(&args.config);
        Some(loaded.config.ok_or_else(|| Refused::config(shown(&loaded.problems)))?)
    } else {
        None
    };
    let mut profile = match (&settings, &args.profile, &args.dialect) {
        (Some(settings), ..) => of_feed(settings, args.feed.as_deref().unwrap_or_default())?,
        (_, Some(path), _) => read(path)?,
        (_, _, Some(word)) => Profile::of_dialect(of_word(word)?),
        (None, None, None) => guessed(args)?,
    };
    switch(&mut profile, "lenient_counts", "--lenient-counts", args.lenient_counts)?;
    switch(&mut profile, "allow_bare_st", "--allow-bare-st", args.allow_bare_st)?;
    let site = settings.as_ref().map(|settings| &settings.site);
    let site_id = match &args.site {
        Some(text) => SiteId::new(text),
        None => site.map_or_else(|| SiteId::new(NO_SITE), |site| Ok(site.id.clone())),
    };
    let site_id = site_id.map_err(|error| Refused::usage(format!("error: --site: {error}")))?;
    let zone_name = match &args.tz {
        Some(name) => name.clone(),
        None => site.map_or("UTC".to_owned(), |site| site.time_zone_name.clone()),
    };
    let zone = TimeZone::get(&zone_name)
        .map_err(|_| Refused::usage(format!("error: --tz: no time zone `{zone_name}`; as America/Chicago")))?;
    let feed = args.feed.clone().unwrap_or_else(|| profile.name.clone());
    Ok(Source { feed, decoder: Decoder::new(Arc::new(profile), &site_id, &zone, &zone_name) })
}

fn of_feed(settings: &config::Config, name: &str) -> Result<Profile, Refused> {
    let known: Vec<&str> = settings.feeds.iter().map(|feed| feed.name.as_str()).collect();
    let feed = settings.feeds.iter().find(|feed| feed.name == name);
    let feed = feed.ok_or_else(|| Refused::config(format!("error: no feed `{name}`; {}", suggestion(name, &known))))?;
    Ok((*feed.profile).clone())
}

fn read(path: &Path) -> Result<Profile, Refused> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Refused::config(format!("error: {}: {error}", path.display())))?;
    profile::read(path, &text).map_err(|problems| Refused::config(shown(&problems)))
}

fn of_word(word: &str) -> Result<DialectKind, Refused> {
    let known: Vec<&str> = DialectKind::WORDS.iter().map(|(word, _)| *word).collect();
    DialectKind::from_word(word)
        .ok_or_else(|| Refused::usage(format!("error: no standard `{word}`; {}", suggestion(word, &known))))
}

fn guessed(args: &TestArgs) -> Result<Profile, Refused> {
    let Some(path) = args.files.first() else {
        return Err(Refused::usage("error: name a file to read, or a profile whose tests are to be run"));
    };
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(guess::HEAD_BYTES as u64).read_to_end(&mut head));
    if let Err(error) = read {
        return Err(Refused { code: exit::DATA, text: format!("error: {}: {error}", path.display()) });
    }
    match guess::guess(&head) {
        Guess::Standard(dialect) => Ok(Profile::of_dialect(dialect)),
        Guess::Ndjson | Guess::Json | Guess::Xml | Guess::Rows => Err(Refused::usage(format!(
            "error: {0} is in no standard known here; name its profile with --profile, or write one: docksync-agent map new {0}",
            path.display()
        ))),
    }
}

fn switch(profile: &mut Profile, option: &str, flag: &str, is_set: bool) -> Result<(), Refused> {
    let name = profile.name.clone();
    let is_known = match &mut profile.parse {
        Parse::Dialect(parse) => !is_set || parse.set(option),
        Parse::Csv(_) | Parse::Tree(_) => !is_set,
    };
    match is_known {
        true => Ok(()),
        false => Err(Refused::usage(format!("error: {flag} means nothing for {name}"))),
    }
}
