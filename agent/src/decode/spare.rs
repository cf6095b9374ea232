//! Events that were handed over and lines of them, whose memory serves again: most documents of a file are alike.

use docksync_proto::event::{Event, Interchange, Item, Line, Source};

/// Most events that are kept.
const EVENTS_MAX: usize = 8;
/// Most lines of one that are kept.
const LINES_MAX: usize = 256;

/// What was used and emptied.
#[derive(Debug, Default)]
pub(super) struct Spare {
    events: Vec<Event>,
    /// Lines of such events, equal to new ones.
    lines: Vec<Vec<Line>>,
}

impl Spare {
    /// An event equal to this one.
    pub(super) fn event(&mut self, like: &Event) -> Event {
        match self.events.pop() {
            Some(mut event) => {
                copy(&mut event, like);
                event
            }
            None => like.clone(),
        }
    }

    /// Takes events that nobody needs any more.
    pub(super) fn keep(&mut self, mut events: Vec<Event>) {
        events.truncate(EVENTS_MAX.saturating_sub(self.events.len()));
        for event in events.iter_mut().filter(|event| !event.lines.is_empty()) {
            if self.lines.len() == EVENTS_MAX {
                break;
            }
            event.lines.truncate(LINES_MAX);
            event.lines.iter_mut().for_each(empty);
            self.lines.push(std::mem::take(&mut event.lines));
        }
        self.events.append(&mut events);
    }

    /// Lines for an event, where there are some from one before.
    pub(super) fn lines(&mut self) -> Sheaf {
        Sheaf { lines: self.lines.pop().unwrap_or_default(), count: 0 }
    }
}

/// Lines of an event that is being read; behind them may stand empty ones. A line is large: those that serve again stay where they
/// are.
#[derive(Debug, Default)]
pub(super) struct Sheaf {
    lines: Vec<Line>,
    count: usize,
}

impl Sheaf {
    /// Adds an empty line.
    pub(super) fn add(&mut self) -> Option<&mut Line> {
        if self.count == self.lines.len() {
            self.lines.push(Line::default());
        }
        self.count += 1;
        self.last()
    }

    /// The line that was added last.
    pub(super) fn last(&mut self) -> Option<&mut Line> {
        self.lines.get_mut(self.count.checked_sub(1)?)
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// The lines that were added.
    pub(super) fn finish(mut self) -> Vec<Line> {
        self.lines.truncate(self.count);
        self.lines
    }
}

/// Makes the event equal to another one; its texts keep their memory. Each field stands here: one that is added is not forgotten.
fn copy(event: &mut Event, like: &Event) {
    let Event { event_type, action, site_id, time, record_time, correlation_id, causation_id, .. } = event;
    (*event_type, *action, *record_time, *causation_id) =
        (like.event_type, like.action, like.record_time, like.causation_id);
    if *site_id != like.site_id {
        site_id.clone_from(&like.site_id);
    }
    (time.at, time.offset_secs, time.precision) = (like.time.at, like.time.offset_secs, like.time.precision);
    time.zone.clone_from(&like.time.zone);
    time.text.clone_from(&like.time.text);
    correlation_id.clone_from(&like.correlation_id);
    let Event { ordinal, split, references, parties, operator, lines, containers, .. } = event;
    (*ordinal, *split) = (like.ordinal, like.split);
    references.clone_from(&like.references);
    parties.clone_from(&like.parties);
    operator.clone_from(&like.operator);
    lines.clone_from(&like.lines);
    containers.clone_from(&like.containers);
    let Event { extensions, warnings, source, interchange, .. } = event;
    extensions.clone_from(&like.extensions);
    warnings.clone_from(&like.warnings);
    copy_source(source, &like.source);
    copy_interchange(interchange, &like.interchange);
}

fn copy_source(source: &mut Source, like: &Source) {
    let Source { system, format, feed, file_name, file_sha256, file_size, record_ordinal, byte_offset, line_no } =
        source;
    system.clone_from(&like.system);
    format.clone_from(&like.format);
    feed.clone_from(&like.feed);
    file_name.clone_from(&like.file_name);
    file_sha256.clone_from(&like.file_sha256);
    (*file_size, *record_ordinal) = (like.file_size, like.record_ordinal);
    (*byte_offset, *line_no) = (like.byte_offset, like.line_no);
}

/// Makes the envelope equal to another one; its texts keep their memory.
pub(super) fn copy_interchange(interchange: &mut Interchange, like: &Interchange) {
    let Interchange { sender, receiver, control, group_control, set_control, version, usage } = interchange;
    sender.clone_from(&like.sender);
    receiver.clone_from(&like.receiver);
    control.clone_from(&like.control);
    group_control.clone_from(&like.group_control);
    set_control.clone_from(&like.set_control);
    version.clone_from(&like.version);
    usage.clone_from(&like.usage);
}

/// Makes the line equal to a new one; its texts keep their memory. A test sees to it that none is forgotten.
pub(super) fn empty(line: &mut Line) {
    let Line { line_no, source_line_no, item, qty, uom, lot, serials, production_code, .. } = line;
    let Item { sku, gtin, buyer_item, vendor_item, upc_case, ndc, description } = item;
    let texts = [line_no, source_line_no, uom, lot, production_code];
    let texts = texts.into_iter().chain([sku, gtin, buyer_item, vendor_item, upc_case, ndc, description]);
    texts.for_each(String::clear);
    serials.clear();
    *qty = None;
    empty_quantities(line);
    empty_states(line);
}

fn empty_quantities(line: &mut Line) {
    let Line { qty_ordered, qty_shipped, qty_difference, qty_received, qty_damaged, qty_before, qty_after, .. } = line;
    for quantity in [qty_ordered, qty_shipped, qty_difference, qty_received, qty_damaged, qty_before, qty_after] {
        *quantity = None;
    }
    let Line { expiry_date, best_before_date, net_weight, gross_weight, status_code, .. } = line;
    (*expiry_date, *best_before_date) = (None, None);
    (*net_weight, *gross_weight, *status_code) = (None, None, None);
}

fn empty_states(line: &mut Line) {
    let Line { status_source, stock_status_from, stock_status_to, reason, .. } = line;
    let Line { location_from, location_to, container_ref, references, .. } = line;
    let texts = [status_source, stock_status_from, stock_status_to, location_from, location_to, container_ref];
    texts.into_iter().for_each(String::clear);
    for text in [&mut reason.code, &mut reason.source_code, &mut reason.text] {
        text.clear();
    }
    references.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_line_is_a_new_one() {
        let text = r#"{"line_no":"1","source_line_no":"1","item":{"sku":"1","gtin":"1","buyer_item":"1","vendor_item":"1",
            "upc_case":"1","ndc":"1","description":"1"},"qty":"1","uom":"1","qty_ordered":"1","qty_shipped":"1",
            "qty_difference":"1","qty_received":"1","qty_damaged":"1","qty_before":"1","qty_after":"1","lot":"1",
            "serials":["1"],"production_code":"1","expiry_date":"2026-01-01","best_before_date":"2026-01-01",
            "net_weight":{"value":"1","unit":"KG"},"gross_weight":{"value":"1","unit":"KG"},"status_code":"complete",
            "status_source":"1","stock_status_from":"1","stock_status_to":"1","reason":{"code":"1","source_code":"1",
            "text":"1"},"location_from":"1","location_to":"1","container_ref":"1",
            "references":[{"type":"po","value":"1"}]}"#;
        let mut line: Line = serde_json::from_str(text).unwrap();
        let fields = serde_json::to_value(&line).unwrap().as_object().unwrap().len();
        // Each field of a line must stand above: count them anew when one is added.
        assert_eq!(fields, 28, "{line:?}");

        empty(&mut line);

        assert_eq!(line, Line::default());
    }

    #[test]
    fn a_spare_event_becomes_equal_to_another_one_whatever_it_was() {
        let text = r#"{"event_type":"shipment_confirmed","action":"void","site_id":"DC9","event_time":"2026-11-23T09:15:27-06:00",
            "event_time_precision":"date","event_tz":"America/Chicago","event_time_text":"1","record_time":"2026-11-23T10:00:00Z",
            "correlation_id":"1","causation_id":"6b1f6f0e-0c2d-5f3a-9c1e-d0c557ac0001","ordinal":1,"split":true,
            "references":[{"type":"po","value":"1"}],"parties":[{"role":"carrier","id":"1"}],"operator":"1",
            "lines":[{"item":{"sku":"1"}}],"containers":[{"container_id":"1"}],"extensions":{"a":"1"},
            "warnings":[{"code":"1","path":"1","text":"1"}],"source":{"system":"1","format":"1","feed":"1","file_name":"1",
            "file_sha256":"1","file_size":1,"record_ordinal":1,"byte_offset":1,"line_no":1},"interchange":{"sender":"1",
            "receiver":"1","control":"1","group_control":"1","set_control":"1","version":"1","usage":"1"}}"#;
        let full: Event = serde_json::from_str(text).unwrap();
        // Each field of an event must stand above: count them anew when one is added.
        assert_eq!(serde_json::to_value(&full).unwrap().as_object().unwrap().len(), 21, "{full:?}");
        let time = docksync_proto::event::EventTime::utc(jiff::Timestamp::UNIX_EPOCH);
        let site = docksync_proto::site::SiteId::new("DC7").unwrap();
        let bare = Event::new(docksync_proto::event::EventType::EpcisOther, site, time, jiff::Timestamp::UNIX_EPOCH);

        for (was, like) in [(&full, &bare), (&bare, &full)] {
            let mut spare = Spare::default();
            spare.keep(vec![was.clone()]);
            assert_eq!(spare.event(like), *like);
            let lines = spare.lines();
            assert_eq!(lines.lines, vec![Line::default(); was.lines.len()]);
            assert_eq!(lines.finish(), []);
        }
    }
}
