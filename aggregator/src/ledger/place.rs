//! Where an event stands in the ledger, and how it stands there.

use docksync_proto::codec::BATCH_EVENTS_MAX;

const INDEX_BITS: u32 = 12;
const _: () = assert!(BATCH_EVENTS_MAX == 1 << INDEX_BITS, "an event's place in its batch has twelve bits");

/// Place of one event: number of its batch and place in it. Rises in the order of commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Loc(pub i64);

impl Loc {
    /// Place `index` of batch `batch_no`.
    pub fn new(batch_no: i64, index: usize) -> Self {
        debug_assert!(index < 1 << INDEX_BITS, "a batch holds at most 4096 events");
        Self(batch_no << INDEX_BITS | index.cast_signed() as i64)
    }

    /// Number of the batch.
    pub fn batch_no(self) -> i64 {
        self.0 >> INDEX_BITS
    }

    /// Place in the batch, from 0.
    pub fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)).cast_unsigned() as usize
    }
}

impl std::fmt::Display for Loc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.batch_no(), self.index())
    }
}

impl std::str::FromStr for Loc {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (batch, index) = text.split_once('.').unwrap_or((text, "0"));
        let index: u16 = index.parse()?;
        Ok(Self(batch.parse::<i64>()? << INDEX_BITS | i64::from(index) & ((1 << INDEX_BITS) - 1)))
    }
}

/// How an event stands in the ledger; one byte per event of a batch, never changed after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// First time seen: takes effect.
    New = 0,
    /// Its id and content are already held: no effect.
    Duplicate = 1,
    /// Replaces an earlier version and says so: the difference takes effect.
    Correction = 2,
    /// Differs from an earlier version and does not say so: waits for a person.
    Revised = 3,
    /// Breaks the contract: waits for a person.
    Parked = 4,
    /// Of a test interchange: stored, never applied.
    Test = 5,
}

impl Standing {
    /// The standing with this byte; `None` for one of a later version.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::New,
            1 => Self::Duplicate,
            2 => Self::Correction,
            3 => Self::Revised,
            4 => Self::Parked,
            5 => Self::Test,
            _ => return None,
        })
    }

    /// The word on pages and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Duplicate => "duplicate",
            Self::Correction => "correction",
            Self::Revised => "revised",
            Self::Parked => "parked",
            Self::Test => "test",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_from_its_text() {
        let loc = Loc::new(77, 4095);

        assert_eq!(loc.to_string(), "77.4095");
        assert_eq!("77.4095".parse::<Loc>(), Ok(loc));
        assert_eq!((loc.batch_no(), loc.index()), (77, 4095));
    }
}
