//! 997 functional acknowledgment and TA1 interchange acknowledgment: what a partner says about documents of ours.
//!
//! One event for each set that is named, known by group kind, group number and set number; one for the group where it names
//! none. A refusal also raises an exception.

use docksync_proto::event::{Event, EventType, RefKind};

use super::{
    super::{
        message::doubt,
        trade::{keep, refer},
    },
    header::begin,
    segment::Segment,
    sheet::Sheet,
};

/// Reads a 997.
pub(super) fn read(sheet: &mut Sheet<'_, '_, '_, '_>, segments: &[Segment]) {
    let Some(ak1) = begin(sheet, segments, "AK1") else { return };
    let Some(ak9) = begin(sheet, segments, "AK9") else { return };
    let kind = sheet.must(ak1, 1, "the kind of the group (GS01)");
    let control = sheet.must(ak1, 2, "the number of the group (GS06)");
    let group = format!("{kind}/{control}");
    let mut open: Option<Event> = None;
    let mut named = 0_u64;
    for segment in segments {
        match segment.id() {
            "AK2" => {
                if open.take().is_some() {
                    sheet.fault(segment, 0, "SCHEMA_VIOLATION", "AK5 of the set before");
                }
                let set = sheet.must(segment, 2, "the number of the set (ST02)");
                let mut event = answered(sheet, &format!("{group}/{set}"));
                keep(&mut event, "x12:AK201", segment.get(1));
                named += 1;
                open = Some(event);
            }
            "AK3" | "AK4" => match open.as_mut() {
                Some(event) => keep(event, format!("x12:{}", segment.id()), &segment.rest(1)),
                None => sheet.fault(segment, 0, "SCHEMA_VIOLATION", "AK2 before it"),
            },
            "AK5" => match open.take() {
                Some(event) => close(sheet, event, segment, ak9),
                None => sheet.fault(segment, 0, "SCHEMA_VIOLATION", "AK2 before it"),
            },
            "ST" | "SE" | "AK1" | "AK9" => {}
            _ => {
                // Kept with the next set, or reported with the group.
                let mut lost = sheet.event(EventType::DocumentAcknowledged);
                sheet.keep(&mut lost, segment, 1);
                if let Some(event) = open.as_mut() {
                    event.warnings.append(&mut lost.warnings);
                    event.extensions.append(&mut lost.extensions);
                }
            }
        }
    }
    if open.is_some() {
        sheet.fault(ak9, 0, "SCHEMA_VIOLATION", "AK5 of the set before");
    }
    // A group that names no set, or not all of them, speaks for the others too.
    let included = ak9.get(2).parse::<u64>().unwrap_or(0);
    if named == 0 || included > named {
        let event = answered(sheet, &group);
        close(sheet, event, ak9, ak9);
    }
}

/// Reads a TA1: 01 number of the interchange, 02 its day, 03 its time, 04 verdict, 05 reason.
pub(super) fn read_interchange(sheet: &mut Sheet<'_, '_, '_, '_>, ta1: &Segment) {
    let control = sheet.must(ta1, 1, "the number of the interchange (ISA13)");
    let mut event = answered(sheet, &format!("ISA/{control}"));
    keep(&mut event, "x12:TA1", &ta1.rest(2));
    let verdict = sheet.must(ta1, 4, "A, E or R").to_owned();
    verdict_of(sheet, event, &verdict, ta1);
}

fn answered(sheet: &mut Sheet<'_, '_, '_, '_>, subject: &str) -> Event {
    let mut event = sheet.event(EventType::DocumentAcknowledged);
    refer(&mut event.references, RefKind::Subject, subject);
    subject.clone_into(&mut event.correlation_id);
    sheet.sent_time(&mut event);
    event
}

fn close(sheet: &mut Sheet<'_, '_, '_, '_>, mut event: Event, verdict: &Segment, ak9: &Segment) {
    if verdict.id() == "AK5" {
        keep(&mut event, "x12:AK5", &verdict.rest(1));
    }
    keep(&mut event, "x12:AK9", &ak9.rest(1));
    let code = sheet.must(verdict, 1, "A, E, R, M, W or X").to_owned();
    verdict_of(sheet, event, &code, verdict);
}

fn verdict_of(sheet: &mut Sheet<'_, '_, '_, '_>, mut event: Event, code: &str, segment: &Segment) {
    let status = match code {
        "A" => "accepted",
        "E" => "accepted_with_errors",
        "P" => "partially_accepted",
        "R" | "M" | "W" | "X" => "rejected",
        _ => {
            doubt(&mut event, "UNKNOWN_STATUS", segment.id(), format!("`{code}` is no known verdict"));
            "unknown"
        }
    };
    keep(&mut event, "status", status);
    let mut raised = None;
    if status == "rejected" {
        let mut exception = event.clone();
        exception.event_type = EventType::ExceptionRaised;
        refer(&mut exception.references, RefKind::ExceptionCode, "DOCUMENT_REJECTED");
        keep(&mut exception, "severity", "error");
        raised = Some(exception);
    }
    sheet.message.events.push(event);
    sheet.message.events.extend(raised);
}
