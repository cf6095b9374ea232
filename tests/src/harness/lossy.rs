//! A line to a Tryton, which closes each connection behind its answer, on which the answer to one change can be lost.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

const BUFFER: usize = 64 * 1024;
/// Head of a request; ours are a few hundred bytes.
const HEAD_MAX: usize = 16 * 1024;

/// What changes nothing: losing its answer loses nothing.
const READS: [&str; 7] =
    [".search_read\"", ".read\"", ".login\"", ".get_preferences\"", ".get_access\"", ".today\"", ".version\""];

#[derive(Debug, Default)]
struct Plan {
    /// Answers to changes that come through before one is lost.
    left: Mutex<Option<usize>>,
    was_met: AtomicBool,
}

/// The line.
#[derive(Debug, Clone)]
pub struct Lossy {
    plan: Arc<Plan>,
    address: SocketAddr,
}

impl Lossy {
    /// A line to `to`. Its threads end with the process.
    ///
    /// # Errors
    /// Where no port is free.
    pub fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let plan = Arc::new(Plan::default());
        let shared = Arc::clone(&plan);
        thread::Builder::new().name("lossy".to_owned()).spawn(move || {
            for caller in listener.incoming().flatten() {
                // A line that breaks looks to the caller like an answer that is lost.
                drop(pass(&shared, caller, to));
            }
        })?;
        Ok(Self { plan, address })
    }

    /// Where to call.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses the answer to the change behind so many others; the server has made it.
    pub fn lose(&self, behind: usize) {
        self.plan.was_met.store(false, Ordering::Relaxed);
        *self.plan.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(behind);
    }

    /// Whether it was lost.
    pub fn was_met(&self) -> bool {
        self.plan.was_met.load(Ordering::Relaxed)
    }
}

impl Plan {
    fn is_lost(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match *left {
            Some(0) => {
                *left = None;
                self.was_met.store(true, Ordering::Relaxed);
                true
            }
            Some(n) => {
                *left = Some(n - 1);
                false
            }
            None => false,
        }
    }
}

fn pass(plan: &Plan, mut caller: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let request = read_request(&mut caller)?;
    if request.is_empty() {
        return Ok(());
    }
    let mut server = TcpStream::connect(to)?;
    server.write_all(&request)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&request);
    let is_read = READS.iter().any(|read| text.contains(read));
    if !is_read && plan.is_lost() { Ok(()) } else { caller.write_all(&answer) }
}

/// Head and body, by the length that the head tells.
fn read_request(caller: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = caller.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..n]);
        let head = request.windows(4).position(|four| four == b"\r\n\r\n");
        let whole = head.map(|end| end + 4 + length(&request[..end]));
        if n == 0 || whole.is_some_and(|whole| request.len() >= whole) {
            return Ok(request);
        }
        if head.is_none() && request.len() > HEAD_MAX {
            return Err(std::io::Error::other("a head without an end"));
        }
    }
}

fn length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    line.unwrap_or(0)
}
