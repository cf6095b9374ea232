//! The aggregator's verdict on an event: pure, after its frame was found whole and before it is stored.
//!
//! Takes a decoded event and the site of the certificate that signed it. Gives a [`Verdict`]. Every event whose frame is well formed
//! is stored, whatever the verdict, so that no event can block its site; one that breaks the contract waits for a person.

use docksync_proto::{codec::Decoded, site::SiteId, validate};

/// Code of events of a test interchange (ISA15 `T`): stored, never applied, and nobody is asked.
pub const TEST_INTERCHANGE: &str = "TEST_INTERCHANGE";
/// Code of an event under the name of another site than its certificate's.
pub const UNKNOWN_SITE: &str = "UNKNOWN_SITE";

/// What is done with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It takes effect.
    Admitted,
    /// It is stored without effect.
    Parked {
        /// Stable code (EVENTS 13).
        code: &'static str,
        /// What was found and what would be right.
        reason: String,
    },
}

/// Judges one event.
pub fn admit(decoded: &Decoded, site: &SiteId) -> Verdict {
    let event = &decoded.event;
    if event.site_id != *site {
        let reason = format!("site_id: found {}, expected {site}, the site of the certificate", event.site_id);
        return Verdict::Parked { code: UNKNOWN_SITE, reason };
    }
    if validate::is_test(event) {
        return Verdict::Parked { code: TEST_INTERCHANGE, reason: "interchange.usage: found T".to_owned() };
    }
    let violations = validate::violations(event);
    match violations.first() {
        None => Verdict::Admitted,
        Some(first) => {
            let reason: Vec<String> = violations.iter().map(ToString::to_string).collect();
            Verdict::Parked { code: first.code, reason: reason.join("; ") }
        }
    }
}

#[cfg(test)]
mod tests {
    use docksync_proto::{
        event::{Event, EventTime, EventType},
        identity,
    };
    use jiff::Timestamp;

    use super::*;

    fn decoded(event_type: EventType) -> Decoded {
        let site = SiteId::new("DC01").unwrap();
        let event = Event::new(event_type, site, EventTime::utc(Timestamp::UNIX_EPOCH), Timestamp::UNIX_EPOCH);
        Decoded { id: identity::event_id(&event), digests: identity::digests(&event), event }
    }

    #[test]
    fn an_event_under_another_sites_name_is_parked() {
        let verdict = admit(&decoded(EventType::EpcisOther), &SiteId::new("DC02").unwrap());

        assert!(matches!(verdict, Verdict::Parked { code: UNKNOWN_SITE, .. }), "{verdict:?}");
    }

    #[test]
    fn every_broken_rule_is_told() {
        let verdict = admit(&decoded(EventType::ShipmentConfirmed), &SiteId::new("DC01").unwrap());

        let Verdict::Parked { code, reason } = verdict else { panic!("admitted") };
        assert_eq!(code, "MISSING_MANDATORY");
        assert!(reason.contains("correlation_id") && reason.contains("lines"), "{reason}");
    }

    #[test]
    fn a_test_interchange_is_not_applied() {
        let mut test = decoded(EventType::EpcisOther);
        test.event.interchange.usage = "T".to_owned();

        let verdict = admit(&test, &SiteId::new("DC01").unwrap());

        assert!(matches!(verdict, Verdict::Parked { code: TEST_INTERCHANGE, .. }), "{verdict:?}");
    }
}
