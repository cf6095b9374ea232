//! Frames: what one MQTT message carries.
//!
//! Layout, version 1, little endian: magic `DKSY`, frame version (u8), kind (u8), flags (u8, 0), signature algorithm (u8: 0
//! none, 1 Ed25519), body length (u32), CRC-32C (u32, over the twelve bytes before it and the body), body, signature (64
//! bytes or none, over everything before it). A frame of an unknown version is refused by name and its bytes are kept.
//! Every layout that was ever released stays readable; `tests/golden/frames` holds one of each.

use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, CodecError},
    fate::{Answer, Question},
    identity::{Chain, Incarnation},
};

const MAGIC: [u8; 4] = *b"DKSY";
/// Version of the frame layout.
pub const FRAME_VERSION: u8 = 1;
/// Version of the link protocol that both ends speak.
pub const LINK_VERSION: u16 = 1;
/// Most bytes of a batch frame on the wire.
pub const BATCH_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of any frame: a batch that holds one single large document.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
const HEADER_BYTES: usize = 16;
const SIGNATURE_BYTES: usize = 64;

/// Opening of a stream by its sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Sender's database.
    pub incarnation: Incarnation,
    /// Epoch that the sender was granted last; 0 before the first.
    pub epoch: u32,
    /// Random value of that grant.
    pub ratchet: [u8; 16],
    /// Random value of this opening, stored before it is sent.
    pub nonce: [u8; 16],
    /// Last event stored.
    pub head: u64,
    /// Chain after it: tells a copy that stopped early from one that went another way.
    pub head_chain: Chain,
    /// Last event known as marked.
    pub marked: u64,
    /// Ledger that gave that mark.
    pub ledger_id: Incarnation,
    /// First event whose payload is still kept.
    pub oldest_kept: u64,
    /// Set where the last grant's chain was not the sender's own at that event: it asks for an epoch of its own.
    pub has_diverged: bool,
    /// [`LINK_VERSION`] of the sender.
    pub version: u16,
    /// Most bytes that the sender can take in one frame.
    pub batch_bytes_max: u32,
    /// Sender's wall clock, milliseconds since 1970.
    pub clock_ms: i64,
    /// Sender's host name, to name both of two clones.
    pub host: String,
}

/// Short name of a grant: the first four bytes of its ratchet.
pub fn session(ratchet: [u8; 16]) -> u32 {
    let [a, b, c, d, ..] = ratchet;
    u32::from_be_bytes([a, b, c, d])
}

/// Answer to a hello that is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Nonce of the hello that is answered.
    pub nonce: [u8; 16],
    /// Epoch to use from now on.
    pub epoch: u32,
    /// New random value for the next hello.
    pub ratchet: [u8; 16],
    /// First event that the receiver has not.
    pub resume_from: u64,
    /// Last event that the receiver durably holds.
    pub marked: u64,
    /// Chain after that event.
    pub chain: Chain,
    /// Receiver's database.
    pub ledger_id: Incarnation,
    /// Most events that may be on their way unmarked.
    pub credit: u32,
    /// Receiver's wall clock, milliseconds since 1970.
    pub centre_time_ms: i64,
    /// Oldest link version that the receiver speaks.
    pub version_min: u16,
}

/// Contiguous events of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Position of the events.
    pub head: BatchHead,
    /// Columns of [`codec`].
    pub events: Vec<u8>,
}

/// Where a batch stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchHead {
    /// Epoch.
    pub epoch: u32,
    /// [`session`] of the grant under which it is sent: what another machine, or an older connection, sent is not of this one.
    pub session: u32,
    /// Number of the first event.
    pub first: u64,
    /// How many.
    pub count: u32,
    /// Chain before the first.
    pub chain_before: Chain,
    /// Chain after the last.
    pub chain_after: Chain,
}

impl BatchHead {
    /// Number of the last event.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }
}

/// The receiver's statement of what its database durably holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Epoch.
    pub epoch: u32,
    /// [`session`] of the grant under which it is sent: what another machine, or an older connection, sent is not of this one.
    pub session: u32,
    /// All events through this one are held.
    pub marked: u64,
    /// Chain after it.
    pub chain: Chain,
    /// All through this one are in a backup that passed its check.
    pub backed_up: u64,
    /// All through this one are in the ERP, or parked with a reason.
    pub applied: u64,
    /// Most events that may be on their way unmarked.
    pub credit: u32,
    /// Receiver's database.
    pub ledger_id: Incarnation,
    /// Receiver's wall clock, milliseconds since 1970.
    pub centre_time_ms: i64,
    /// Ranges (first, last) that the receiver asks for again.
    pub want: Vec<(u64, u64)>,
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefuseReason {
    /// Starts after the next number.
    Gap,
    /// Chain does not continue the receiver's.
    Chain,
    /// Another epoch is open.
    StaleEpoch,
    /// Over a limit of size.
    TooBig,
    /// The stream is set aside until a person decides.
    Quarantined,
    /// The receiver has no room now.
    Busy,
    /// A version that the receiver does not speak.
    Version,
}

impl RefuseReason {
    /// The word in logs and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Chain => "chain",
            Self::StaleEpoch => "stale_epoch",
            Self::TooBig => "too_big",
            Self::Quarantined => "quarantined",
            Self::Busy => "busy",
            Self::Version => "version",
        }
    }
}

/// A frame that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// Epoch that is open at the receiver.
    pub epoch: u32,
    /// [`session`] of the frame that is refused; 0 where a hello is.
    pub session: u32,
    /// Number that the receiver expects next.
    pub expected: u64,
    /// Why.
    pub reason: RefuseReason,
    /// Nonce, where a hello is refused; else zeros.
    pub nonce: [u8; 16],
}

/// Count and sum of one day's events of one feed and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayTotal {
    /// Day of capture at the site, `YYYYMMDD`.
    pub day: u32,
    /// Feed.
    pub feed: String,
    /// Event type, by its code.
    pub event_type: u8,
    /// How many events.
    pub count: u64,
    /// Sum of quantities, in millionths.
    pub qty_micros: i64,
}

/// Events that the sender no longer has: the receiver notes an incident and goes on behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// Epoch.
    pub epoch: u32,
    /// [`session`] of the grant under which it is sent: what another machine, or an older connection, sent is not of this one.
    pub session: u32,
    /// First event that is gone.
    pub first: u64,
    /// Last event that is gone.
    pub last: u64,
    /// Chain after it.
    pub chain_after: Chain,
}

/// Heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Epoch.
    pub epoch: u32,
    /// Last event stored.
    pub head: u64,
    /// Last event known as marked.
    pub marked: u64,
    /// Age of the oldest unmarked event, milliseconds.
    pub oldest_age_ms: u64,
    /// Files seen but not captured.
    pub files_waiting: u32,
    /// Bytes of the queue.
    pub disk_used_bytes: u64,
    /// Bytes that the queue may still take.
    pub disk_free_bytes: u64,
    /// Sender's wall clock, milliseconds since 1970.
    pub clock_ms: i64,
    /// Totals of the last days.
    pub totals: Vec<DayTotal>,
}

/// A message of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opening.
    Hello(Hello),
    /// Answer to it.
    Grant(Grant),
    /// Events.
    Batch(Batch),
    /// What is held.
    Mark(Mark),
    /// What was not taken.
    Refuse(Refuse),
    /// Heartbeat.
    Beat(Beat),
    /// Events that are gone.
    Unavailable(Unavailable),
    /// What became of events.
    Question(Question),
    /// Answer to it.
    Answer(Answer),
}

/// Why bytes are not a frame that may be used.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Not one of ours.
    #[error("not a docksync frame")]
    Magic,
    /// A later version.
    #[error("frame of version {found}, this program reads version {FRAME_VERSION}")]
    Version {
        /// Version byte found.
        found: u8,
    },
    /// A kind that this version does not have.
    #[error("frame of unknown kind {found}")]
    Kind {
        /// Kind byte found.
        found: u8,
    },
    /// Length does not fit.
    #[error("frame of {found} bytes where its header says {expected}")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes by the header.
        expected: usize,
    },
    /// Over [`FRAME_BYTES_MAX`].
    #[error("frame of {found} bytes is over the limit of {FRAME_BYTES_MAX}")]
    TooBig {
        /// Bytes found.
        found: usize,
    },
    /// Altered on the way.
    #[error("frame checksum does not match")]
    Checksum,
    /// Not signed, or not by the key of the certificate.
    #[error("frame is not signed by the sender's key")]
    Signature,
    /// The body does not decode.
    #[error("cannot read the frame's body")]
    Body(#[source] CodecError),
}

impl Frame {
    const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::Grant(_) => 2,
            Self::Batch(_) => 3,
            Self::Mark(_) => 4,
            Self::Refuse(_) => 5,
            Self::Beat(_) => 6,
            Self::Unavailable(_) => 7,
            Self::Question(_) => 8,
            Self::Answer(_) => 9,
        }
    }

    fn body(&self) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::Hello(m) => codec::encode_control(m),
            Self::Grant(m) => codec::encode_control(m),
            Self::Batch(m) => {
                // The columns are megabytes at worst: they are laid behind the head as they are, not serialized again.
                let mut body = codec::encode_control(&m.head)?;
                let len = u16::try_from(body.len()).unwrap_or(u16::MAX).to_le_bytes();
                body.splice(0..0, len);
                body.extend_from_slice(&m.events);
                Ok(body)
            }
            Self::Mark(m) => codec::encode_control(m),
            Self::Refuse(m) => codec::encode_control(m),
            Self::Beat(m) => codec::encode_control(m),
            Self::Unavailable(m) => codec::encode_control(m),
            Self::Question(m) => codec::encode_control(m),
            Self::Answer(m) => codec::encode_control(m),
        }
    }

    fn from_body(kind: u8, body: &[u8]) -> Result<Self, FrameError> {
        let read = match kind {
            1 => codec::decode_control(body).map(Self::Hello),
            2 => codec::decode_control(body).map(Self::Grant),
            3 => batch(body).map(Self::Batch),
            4 => codec::decode_control(body).map(Self::Mark),
            5 => codec::decode_control(body).map(Self::Refuse),
            6 => codec::decode_control(body).map(Self::Beat),
            7 => codec::decode_control(body).map(Self::Unavailable),
            8 => codec::decode_control(body).map(Self::Question),
            9 => codec::decode_control(body).map(Self::Answer),
            found => return Err(FrameError::Kind { found }),
        };
        read.map_err(FrameError::Body)
    }

    /// Bytes of the frame, signed where a key is given.
    ///
    /// # Errors
    /// [`FrameError`] where the frame is over a limit.
    pub fn seal(&self, key: Option<&Ed25519KeyPair>) -> Result<Vec<u8>, FrameError> {
        let body = self.body().map_err(FrameError::Body)?;
        let total = HEADER_BYTES + body.len() + SIGNATURE_BYTES;
        if total > FRAME_BYTES_MAX {
            return Err(FrameError::TooBig { found: total });
        }
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[FRAME_VERSION, self.kind(), 0, u8::from(key.is_some())]);
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &body);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&body);
        if let Some(key) = key {
            let signature = key.sign(&bytes);
            bytes.extend_from_slice(signature.as_ref());
        }
        Ok(bytes)
    }

    /// Reads a frame; where a public key is given, only one signed by it.
    ///
    /// # Errors
    /// [`FrameError`] says what is wrong with the bytes.
    pub fn open(bytes: &[u8], public_key: Option<&[u8]>) -> Result<Self, FrameError> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(FrameError::Magic)?;
        let [m0, m1, m2, m3, version, kind, _flags, algorithm, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(FrameError::Magic);
        }
        if version != FRAME_VERSION {
            return Err(FrameError::Version { found: version });
        }
        let body_len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let signature_len = if algorithm == 0 { 0 } else { SIGNATURE_BYTES };
        let expected = HEADER_BYTES.saturating_add(body_len).saturating_add(signature_len);
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(FrameError::TooBig { found: bytes.len() });
        }
        if bytes.len() != expected {
            return Err(FrameError::Length { found: bytes.len(), expected });
        }
        let (body, signature) = rest.split_at(body_len);
        if crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), body) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(FrameError::Checksum);
        }
        if let Some(public_key) = public_key {
            let signed = &bytes[..HEADER_BYTES + body_len];
            let key = UnparsedPublicKey::new(&ED25519, public_key);
            if algorithm != 1 || key.verify(signed, signature).is_err() {
                return Err(FrameError::Signature);
            }
        }
        Self::from_body(kind, body)
    }
}

fn batch(body: &[u8]) -> Result<Batch, CodecError> {
    let (len, rest) = body.split_first_chunk::<2>().ok_or(CodecError::Truncated)?;
    let (head, events) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len))).ok_or(CodecError::Truncated)?;
    let head: BatchHead = codec::decode_control(head)?;
    if head.count == 0 || head.first == 0 || head.first.checked_add(u64::from(head.count)).is_none() {
        return Err(CodecError::Columns { what: "a batch without events" });
    }
    Ok(Batch { head, events: events.to_vec() })
}
