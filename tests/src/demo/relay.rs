//! A line that can be cut: forwards TCP between a site and the centre.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

const BUFFER: usize = 64 * 1024;

#[derive(Debug, Default)]
struct Line {
    is_cut: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    bytes: AtomicU64,
}

/// A line between a site and the centre, on loopback.
#[derive(Debug, Clone)]
pub struct Relay {
    line: Arc<Line>,
    address: SocketAddr,
}

impl Relay {
    /// A line to `to`. Its threads end with the process.
    ///
    /// # Errors
    /// Where no port is free.
    pub fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let line = Arc::new(Line::default());
        let shared = Arc::clone(&line);
        thread::Builder::new().name("relay".to_owned()).spawn(move || {
            for incoming in listener.incoming().flatten() {
                if !shared.is_cut.load(Ordering::Relaxed) {
                    // A line that cannot be made looks to the site like one that is cut.
                    drop(connect(&shared, incoming, to));
                }
            }
        })?;
        Ok(Self { line, address })
    }

    /// Where the site connects.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that went over the line, both ways.
    pub fn bytes(&self) -> u64 {
        self.line.bytes.load(Ordering::Relaxed)
    }

    /// Cuts the line, or mends it. Connections that were open end.
    pub fn cut(&self, is_cut: bool) {
        self.line.is_cut.store(is_cut, Ordering::Relaxed);
        if is_cut {
            let open = std::mem::take(&mut *self.line.open.lock().unwrap_or_else(PoisonError::into_inner));
            for stream in open {
                // One end may be closed already.
                drop(stream.shutdown(Shutdown::Both));
            }
        }
    }
}

fn connect(line: &Arc<Line>, site: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let centre = TcpStream::connect(to)?;
    site.set_nodelay(true)?;
    centre.set_nodelay(true)?;
    line.open.lock().unwrap_or_else(PoisonError::into_inner).extend([site.try_clone()?, centre.try_clone()?]);
    for (from, into) in [(site.try_clone()?, centre.try_clone()?), (centre, site)] {
        let line = Arc::clone(line);
        thread::Builder::new().name("line".to_owned()).spawn(move || pass(&line, from, into))?;
    }
    Ok(())
}

fn pass(line: &Line, mut from: TcpStream, mut into: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || into.write_all(&buffer[..n]).is_err() {
            break;
        }
        line.bytes.fetch_add(n as u64, Ordering::Relaxed);
    }
    drop(into.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}
