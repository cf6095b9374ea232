//! A destination that can be told to fail: it keeps documents, one for each call that it takes, and knows no key twice or not at all.
//!
//! Stands in for what a real system cannot be made to do on demand: to commit and drop the answer, to say 401, to ask for patience with
//! status 400, to hang. It never refuses a second call for one key, so a call too many is a document too many, and is counted.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

/// How it behaves now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Takes everything.
    Normal,
    /// Commits, and then closes the connection in so many of a hundred calls.
    DropAnswers(u32),
    /// Answers every call with this status and body; takes nothing.
    Refuse(u16, String),
    /// Answers nothing, for as long as the mode lasts.
    Hang,
    /// Refuses documents of this order with 422; takes others.
    Poison(String),
}

/// A call as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `Idempotency-Key`.
    pub key: String,
    /// `traceparent`.
    pub trace: String,
}

#[derive(Debug)]
struct Books {
    mode: Mode,
    dice: StdRng,
    /// Documents by key: more than one is a double.
    documents: BTreeMap<String, Vec<u64>>,
    /// Order of each document, in the order in which they came.
    orders: Vec<(String, String)>,
    calls: Vec<Call>,
    dropped: u64,
    refused: u64,
}

/// The destination; it ends with the process.
#[derive(Debug, Clone)]
pub struct DestinationDouble {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
}

impl DestinationDouble {
    /// Starts one on loopback.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let books = Books {
            mode: Mode::Normal,
            dice: StdRng::seed_from_u64(7),
            documents: BTreeMap::new(),
            orders: Vec::new(),
            calls: Vec::new(),
            dropped: 0,
            refused: 0,
        };
        let double = Self { address: listener.local_addr()?, books: Arc::new(Mutex::new(books)) };
        let served = double.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                thread::spawn(move || served.serve(stream));
            }
        });
        Ok(double)
    }

    /// Settings of a consumer that sends here and looks up by key.
    pub fn settings(&self, name: &str) -> String {
        let at = self.address;
        format!(
            "[[consumer]]\nname = \"{name}\"\nkind = \"http\"\nerp = true\nurl = \"http://{at}/documents\"\n\
             look_up_url = \"http://{at}/documents/{{key}}\"\ndocument_pointer = \"/id\"\ncode_pointer = \"/code\"\n\
             timeout_ms = 1000\nsettle_ms = 200\nconcurrency = 8\n\n\
             [[consumer.answer]]\nstatus = 400\nbody = \"too many requests\"\nmeans = \"limit\"\n\n"
        )
    }

    /// Changes how it behaves.
    pub fn set(&self, mode: Mode) {
        self.books().mode = mode;
    }

    /// Documents by key.
    pub fn documents(&self) -> BTreeMap<String, Vec<u64>> {
        self.books().documents.clone()
    }

    /// How many documents there are.
    pub fn count(&self) -> usize {
        self.books().orders.len()
    }

    /// Key and order of each document, in the order in which they came.
    pub fn orders(&self) -> Vec<(String, String)> {
        self.books().orders.clone()
    }

    /// Every call that was made, taken or not.
    pub fn calls(&self) -> Vec<Call> {
        self.books().calls.clone()
    }

    /// Answers that were dropped after the commit, and calls that were refused.
    pub fn faults(&self) -> (u64, u64) {
        let books = self.books();
        (books.dropped, books.refused)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut stream: TcpStream) {
        let Ok(copy) = stream.try_clone() else { return };
        let mut reader = BufReader::new(copy);
        while let Some(request) = Request::read(&mut reader) {
            if self.books().mode == Mode::Hang {
                while self.books().mode == Mode::Hang {
                    thread::park_timeout(Duration::from_millis(20));
                }
                // What hung was never begun: a call that is taken later than `settle_ms` allows is a matter of that setting.
                return;
            }
            let Some((status, body)) = self.answer(&request) else { return };
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
                return;
            }
        }
    }

    /// Status and body; `None` drops the connection.
    fn answer(&self, request: &Request) -> Option<(u16, String)> {
        let mut books = self.books();
        if let Mode::Refuse(status, body) = &books.mode {
            let answer = (*status, body.clone());
            books.refused += 1;
            return Some(answer);
        }
        if request.method == "GET" {
            let key = request.path.rsplit('/').next().unwrap_or_default();
            return Some(match books.documents.get(key).and_then(|all| all.first()) {
                Some(number) => (200, format!("{{\"id\":\"D-{number}\"}}")),
                None => (404, "{}".to_owned()),
            });
        }
        let (key, trace) = (request.header("idempotency-key"), request.header("traceparent"));
        books.calls.push(Call { key: key.clone(), trace });
        let order = order_of(&request.body);
        if let Mode::Poison(bad) = &books.mode
            && *bad == order
        {
            books.refused += 1;
            return Some((422, "{\"code\":\"UNKNOWN_ITEM\"}".to_owned()));
        }
        let number = books.orders.len() as u64 + 1;
        books.orders.push((key.clone(), order));
        books.documents.entry(key).or_default().push(number);
        if let Mode::DropAnswers(of_hundred) = books.mode
            && books.dice.random_range(0..100) < of_hundred
        {
            books.dropped += 1;
            return None;
        }
        Some((200, format!("{{\"id\":\"D-{number}\"}}")))
    }
}

/// The order that an event is about.
fn order_of(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let references = json["references"].as_array().cloned().unwrap_or_default();
    let order = references.iter().find(|r| r["type"] == "order").or_else(|| references.first());
    order.and_then(|r| r["value"].as_str()).unwrap_or_default().to_owned()
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
            match line.trim().split_once(": ") {
                Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
                None => break,
            }
        }
        let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Self { method, path, headers, body })
    }

    fn header(&self, name: &str) -> String {
        self.headers.get(name).cloned().unwrap_or_default()
    }
}
