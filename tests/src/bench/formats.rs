//! Decoders beside bare readers of the same bytes, and the memory that large files take.
//!
//! Rates are bytes by CPU second of this process, over as many readings as make [`SECS_LEAST`]. The ceiling of delimited formats is the
//! csv crate reading a file of the same bytes and the same number of fields; that of XML is bare quick-xml reading the same file. Neither
//! makes anything of what it reads. Both are measured in turn, [`ROUNDS`] times, for neighbours on the machine come and go within
//! seconds; the round whose ratio is the median counts.

use std::{
    fs::File,
    hint::black_box,
    io::{BufReader, BufWriter, Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use docksync_agent::decode::{
    Decoder, FileFacts,
    profile::{self, DialectKind, Profile},
};
use docksync_proto::site::SiteId;
use jiff::{Timestamp, tz::TimeZone};

use super::{Goal, Options, Row, Rows, codec::Watch, export, rig};
use crate::harness::process;

const BYTES: u64 = 24 << 20;
const BYTES_QUICK: u64 = 6 << 20;
/// Files whose memory is measured.
const LARGE_BYTES: u64 = 500 << 20;
const LARGE_BYTES_QUICK: u64 = 50 << 20;
const MIB: f64 = 1_048_576.0;
/// CPU seconds that a rate is taken over: the kernel's clock ticks in hundredths.
const SECS_LEAST: f64 = 0.5;
const ROUNDS: usize = 9;
const ROUNDS_QUICK: usize = 3;

/// Measures each format.
///
/// # Errors
/// Where a file cannot be written or read.
pub(super) fn measure(options: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let bytes = if options.quick { BYTES_QUICK } else { BYTES };
    let csv = dir.join("pick.csv");
    export::write(&csv, 1, bytes / 146)?;
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/feeds/pick-csv.toml"))?;
    let pick = profile::read(Path::new("pick-csv.toml"), &text).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let pick = Arc::new(pick);
    rows.push(compared("CSV to events", 0.4, options, || bare_csv(&csv, b','), || rate(&pick, &csv))?);

    let x12 = dir.join("945.edi");
    write_x12(&x12, bytes)?;
    let profile = Arc::new(Profile::of_dialect(DialectKind::X12));
    rows.push(compared("X12 945 to events", 0.4, options, || bare_csv(&x12, b'*'), || rate(&profile, &x12))?);

    let epcis = dir.join("epcis.xml");
    write_epcis(&epcis, bytes)?;
    let profile = Arc::new(Profile::of_dialect(DialectKind::Epcis));
    rows.push(compared("EPCIS XML to events", 0.25, options, || bare_xml(&epcis), || rate(&profile, &epcis))?);
    memory(options, dir, rows)
}

/// A rate beside its ceiling: the round of the median ratio.
fn compared(
    name: &str,
    goal: f64,
    options: &Options,
    bare: impl Fn() -> anyhow::Result<f64>,
    own: impl Fn() -> anyhow::Result<f64>,
) -> anyhow::Result<Row> {
    let mut rounds = Vec::new();
    for _ in 0..if options.quick { ROUNDS_QUICK } else { ROUNDS } {
        rounds.push((bare()?, own()?));
    }
    rounds.sort_by(|(bare, own), (other_bare, other_own)| (own / bare).total_cmp(&(other_own / other_bare)));
    let (bare, own) = rounds[rounds.len() / 2];
    Ok(Row::new(name, own, "MiB/CPU s").of(bare).goal(Goal::PartOf(goal)))
}

fn memory(options: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let bytes = if options.quick { LARGE_BYTES_QUICK } else { LARGE_BYTES };
    type Write = fn(&Path, u64) -> anyhow::Result<()>;
    let files: [(&str, &str, Write); 3] =
        [("X12", "x12", write_x12), ("XML", "epcis", write_epcis), ("JSON", "epcis", write_json)];
    for (name, dialect, write) in files {
        let path = dir.join(name);
        write(&path, bytes)?;
        let most = peak(&path, dialect)?;
        let name = format!("memory at most, {name} file of {} MiB", bytes >> 20);
        rows.push(Row::new(&name, most, "MiB").goal(Goal::Below(100.0)));
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

/// Most memory of `map test` over the file, in MiB.
fn peak(path: &PathBuf, dialect: &str) -> anyhow::Result<f64> {
    let mut command = Command::new(process::program("docksync-agent")?);
    command.args(["map", "test", "--jsonl", "--dialect", dialect]).arg(path);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut most: f64 = 0.0;
    loop {
        // The last look before the end is close enough: both passes read the whole file.
        if let Ok(now) = rig::memory_mib(child.id(), "VmHWM") {
            most = most.max(now);
        }
        if let Some(status) = child.try_wait()? {
            anyhow::ensure!(status.success(), "map test of {} ended with {status}", path.display());
            return Ok(most);
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn rate(profile: &Arc<Profile>, path: &Path) -> anyhow::Result<f64> {
    let decoder = Decoder::new(Arc::clone(profile), &SiteId::new("DC7")?, &TimeZone::UTC, "UTC");
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let (feed, name, sha256) = ("bench".to_owned(), "bench".to_owned(), "0".repeat(64));
    let facts = FileFacts { feed, name, sha256, size, record_time: Timestamp::now() };
    repeated(size, || {
        let survey = black_box(decoder.survey(&mut file, &facts)?);
        anyhow::ensure!(survey.held == 0 && !survey.is_refused(), "{} is not as it was meant", path.display());
        Ok(())
    })
}

/// Reads again and again; gives MiB by CPU second.
fn repeated(size: u64, mut read: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let watch = Watch::start()?;
    let mut times = 0.0;
    while times == 0.0 || watch.secs()? < SECS_LEAST {
        read()?;
        times += 1.0;
    }
    Ok(size as f64 * times / MIB / watch.secs()?)
}

fn bare_csv(path: &Path, delimiter: u8) -> anyhow::Result<f64> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    repeated(size, || {
        file.rewind()?;
        let mut builder = csv::ReaderBuilder::new();
        let mut reader = builder.delimiter(delimiter).has_headers(false).flexible(true).from_reader(&file);
        let mut record = csv::StringRecord::new();
        let mut fields = 0;
        while reader.read_record(&mut record)? {
            fields += record.len();
        }
        black_box(fields);
        Ok(())
    })
}

fn bare_xml(path: &Path) -> anyhow::Result<f64> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    repeated(size, || {
        file.rewind()?;
        let mut reader = quick_xml::Reader::from_reader(BufReader::with_capacity(64 * 1024, &file));
        let (mut buffer, mut events) = (Vec::new(), 0_u64);
        while !matches!(reader.read_event_into(&mut buffer)?, quick_xml::events::Event::Eof) {
            events += 1;
            buffer.clear();
        }
        black_box(events);
        Ok(())
    })
}

/// One interchange of shipping advices, five lines each.
fn write_x12(path: &Path, bytes: u64) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let head = "ISA*00*          *00*          *ZZ*WMSDC7         *ZZ*DEPOSITOR      *261123*0915*U*00401*000000101*0*P*>~\n\
                GS*SW*WMSDC7*DEPOSITOR*20261123*0915*101*X*004010~\n";
    out.write_all(head.as_bytes())?;
    let (mut written, mut sets) = (0, 0_u64);
    while written < bytes {
        sets += 1;
        let mut set = format!(
            "ST*945*{sets:06}~\nW06*F*SO-{sets:08}*20261123*SHP-{sets:08}**PO-{sets:07}~\nN1*ST*Corner Store*92*C{:05}~\n\
             G62*11*20261123*1*091500~\nW27*M*ABCD*LTL~\n",
            sets % 5_000
        );
        for line in 1..=5 {
            let (sku, qty) = ((sets * 7 + line) % 2_000, line * 3);
            set.push_str(&format!(
                "LX*{line}~\nW12*CC*{qty}*{qty}**EA**VN*SKU-{sku:06}*LOT-{:03}~\nN9*LI*{line}0~\n",
                sku % 7
            ));
        }
        set.push_str(&format!("W03*45*120*LB~\nSE*22*{sets:06}~\n"));
        out.write_all(set.as_bytes())?;
        written += set.len() as u64;
    }
    out.write_all(format!("GE*{sets}*101~\nIEA*1*000000101~\n").as_bytes())?;
    Ok(out.flush()?)
}

fn write_epcis(path: &Path, bytes: u64) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<epcis:EPCISDocument xmlns:epcis=\"urn:epcglobal:epcis:xsd:2\" schemaVersion=\"2.0\" \
                creationDate=\"2026-11-23T09:20:00Z\"><EPCISBody><EventList>\n";
    out.write_all(head.as_bytes())?;
    let (mut written, mut n) = (0, 0_u64);
    while written < bytes {
        n += 1;
        let event = format!(
            "<ObjectEvent><eventTime>2026-11-23T09:15:00.000-06:00</eventTime><eventTimeZoneOffset>-06:00</eventTimeZoneOffset>\
             <eventID>urn:uuid:6a5d1c1e-31f4-4a35-9a0f-{n:012}</eventID><epcList/><action>OBSERVE</action>\
             <bizStep>urn:epcglobal:cbv:bizstep:receiving</bizStep><disposition>urn:epcglobal:cbv:disp:sellable_accessible</disposition>\
             <readPoint><id>urn:epc:id:sgln:0614141.00777.0</id></readPoint><bizTransactionList>\
             <bizTransaction type=\"urn:epcglobal:cbv:btt:po\">urn:epcglobal:cbv:bt:0614141073467:PO-{n}</bizTransaction></bizTransactionList>\
             <quantityList><quantityElement><epcClass>urn:epc:class:lgtin:0614141.107346.L{}</epcClass><quantity>24</quantity></quantityElement>\
             </quantityList></ObjectEvent>\n",
            n % 50
        );
        out.write_all(event.as_bytes())?;
        written += event.len() as u64;
    }
    out.write_all(b"</EventList></EPCISBody></epcis:EPCISDocument>\n")?;
    Ok(out.flush()?)
}

fn write_json(path: &Path, bytes: u64) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    out.write_all(b"{\"type\":\"EPCISDocument\",\"schemaVersion\":\"2.0\",\"epcisBody\":{\"eventList\":[\n")?;
    let (mut written, mut n) = (0, 0_u64);
    while written < bytes {
        n += 1;
        let comma = if n > 1 { "," } else { "" };
        let event = format!(
            "{comma}{{\"type\":\"ObjectEvent\",\"eventID\":\"urn:uuid:6a5d1c1e-31f4-4a35-9a0f-{n:012}\",\
             \"eventTime\":\"2026-11-23T09:15:00.000-06:00\",\"eventTimeZoneOffset\":\"-06:00\",\"action\":\"OBSERVE\",\"bizStep\":\"receiving\",\
             \"disposition\":\"sellable_accessible\",\"readPoint\":{{\"id\":\"urn:epc:id:sgln:0614141.00777.0\"}},\
             \"bizTransactionList\":[{{\"type\":\"po\",\"bizTransaction\":\"urn:epcglobal:cbv:bt:0614141073467:PO-{n}\"}}],\
             \"quantityList\":[{{\"epcClass\":\"urn:epc:class:lgtin:0614141.107346.L{}\",\"quantity\":24}}]}}\n",
            n % 50
        );
        out.write_all(event.as_bytes())?;
        written += event.len() as u64;
    }
    out.write_all(b"]}}\n")?;
    Ok(out.flush()?)
}
