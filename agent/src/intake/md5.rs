//! MD5 (RFC 1321), for the companions with which warehouse systems tell a whole transfer from half of one. Nothing that must
//! withstand an adversary rests on it: identity is SHA-256.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
};

const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The sum of all of a file; the file is rewound.
pub(super) fn of(file: &mut File) -> io::Result<[u8; 16]> {
    file.rewind()?;
    let (mut sum, mut buffer, mut kept, mut length) = (Sum::new(), vec![0; 64 * 1024], 0, 0_u64);
    loop {
        let read = match file.read(&mut buffer[kept..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if read == 0 {
            break;
        }
        length += read as u64;
        let filled = kept + read;
        let whole = filled - filled % 64;
        buffer[..whole].chunks_exact(64).for_each(|block| sum.block(block));
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
    }
    file.rewind()?;
    Ok(sum.finish(&buffer[..kept], length))
}

struct Sum {
    state: [u32; 4],
    sines: [u32; 64],
}

impl Sum {
    fn new() -> Self {
        // The RFC defines its table as the whole part of 2^32 times the sine.
        let sines = std::array::from_fn(|at| ((at as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32);
        Self { state: START, sines }
    }

    fn block(&mut self, block: &[u8]) {
        let mut words = [0_u32; 16];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        let [mut a, mut b, mut c, mut d] = self.state;
        for at in 0..64 {
            let (mix, word) = match at / 16 {
                0 => ((b & c) | (!b & d), at),
                1 => ((d & b) | (!d & c), 5 * at + 1),
                2 => (b ^ c ^ d, 3 * at + 5),
                _ => (c ^ (b | !d), 7 * at),
            };
            let turned = a.wrapping_add(mix).wrapping_add(self.sines[at]).wrapping_add(words[word % 16]);
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(turned.rotate_left(SHIFTS[at / 16][at % 4]));
        }
        for (state, add) in self.state.iter_mut().zip([a, b, c, d]) {
            *state = state.wrapping_add(add);
        }
    }

    fn finish(mut self, rest: &[u8], length: u64) -> [u8; 16] {
        let mut last = rest.to_vec();
        last.push(0x80);
        while last.len() % 64 != 56 {
            last.push(0);
        }
        last.extend_from_slice(&length.wrapping_mul(8).to_le_bytes());
        last.chunks_exact(64).for_each(|block| self.block(block));
        let mut sum = [0; 16];
        for (out, word) in sum.chunks_exact_mut(4).zip(self.state) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use docksync_proto::identity::hex;

    fn sum(text: &[u8]) -> String {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        hex(&super::of(&mut file).unwrap())
    }

    #[test]
    fn the_sums_of_the_rfc_come_out() {
        assert_eq!(sum(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(sum(b"message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        let digits = b"12345678901234567890123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(sum(digits), "57edf4a22be3c955ac49da2e2107b67a");
    }
}
