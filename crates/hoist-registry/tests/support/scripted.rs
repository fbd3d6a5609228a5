//! A registry on loopback that does what a closure says, byte for byte.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// `GET /v2/a/blobs/x`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    /// The first byte that is asked for.
    pub(crate) fn range_start(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.split_once('-')?.0.parse().ok()
    }

    /// The first and the last byte that are asked for.
    pub(crate) fn range(&self) -> Option<(usize, usize)> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }
}

/// One request and the way to answer it. The connection ends with the answer.
pub(crate) struct Exchange {
    pub(crate) seen: Seen,
    /// How many requests came before this one, those for `/v2/` not counted.
    pub(crate) earlier: usize,
    /// Where it stands in the log.
    place: usize,
    reader: BufReader<TcpStream>,
    log: Arc<Mutex<Vec<Seen>>>,
}

impl Exchange {
    /// The body of the request.
    pub(crate) fn body(&mut self) -> Vec<u8> {
        let length = self
            .seen
            .header("content-length")
            .map_or(0, |text| text.parse().unwrap());
        self.body_part(length)
    }

    /// The first bytes of it only.
    pub(crate) fn body_part(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        self.log.lock().unwrap()[self.place].body.clone_from(&body);
        body
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        // The client may have gone, and is right to.
        let _ = self.reader.get_mut().write_all(bytes);
    }

    pub(crate) fn reply(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        self.announce(status, headers, body.len());
        if self.seen.method != "HEAD" {
            self.raw(body);
        }
    }

    /// The head of an answer whose body is announced to be so long.
    pub(crate) fn announce(&mut self, status: u16, headers: &[(&str, &str)], length: usize) {
        let mut head =
            format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.raw(head.as_bytes());
    }

    /// A body that never ends, beginning so.
    pub(crate) fn endless(&mut self, headers: &[(&str, &str)], start: &[u8]) {
        let mut head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n".to_owned();
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.raw(head.as_bytes());
        let stream = self.reader.get_mut();
        let mut chunk = start.to_vec();
        loop {
            let head = format!("{:x}\r\n", chunk.len());
            let written = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(&chunk))
                .and_then(|()| stream.write_all(b"\r\n"));
            if written.is_err() {
                return;
            }
            chunk = vec![b' '; 65536];
        }
    }

    /// Say nothing more until the client gives up.
    pub(crate) fn stall(&mut self) {
        let _ = io::copy(&mut self.reader, &mut io::sink());
    }

    /// Serve a blob with ranges, but close the connection after so many bytes.
    pub(crate) fn serve_cut(&mut self, blob: &[u8], cut: usize) {
        let part = if let Some((first, last)) = self.seen.range() {
            let range = format!("bytes {first}-{last}/{}", blob.len());
            let part = &blob[first..=last];
            self.announce(206, &[("Content-Range", &range)], part.len());
            part
        } else {
            self.announce(200, &[], blob.len());
            blob
        };
        self.raw(&part[..part.len().min(cut)]);
    }

    pub(crate) fn not_found(&mut self, code: &str) {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}]}}"#);
        self.reply(
            404,
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        );
    }
}

/// The server. Ends, with all its threads, on drop.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    pub(crate) fn start(script: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub(crate) fn on(
        listener: TcpListener,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (threads_log, threads_stop) = (Arc::clone(&log), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming() {
                    if threads_stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let (script, log) = (&script, Arc::clone(&threads_log));
                    scope.spawn(move || {
                        if let Some(mut exchange) = receive(stream.unwrap(), log) {
                            script(&mut exchange);
                        }
                    });
                }
            });
        });
        Self {
            address,
            log,
            stop,
            thread: Some(thread),
        }
    }

    /// The requests so far, without the question whether the registry speaks TLS.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log
            .lock()
            .unwrap()
            .iter()
            .filter(|seen| seen.target != "/v2/")
            .cloned()
            .collect()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    /// `127.0.0.1:port/name`.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }
}

fn receive(stream: TcpStream, log: Arc<Mutex<Vec<Seen>>>) -> Option<Exchange> {
    let mut reader = BufReader::new(stream);
    // The hello of TLS, which is not spoken here.
    if reader
        .fill_buf()
        .ok()?
        .first()
        .is_none_or(|first| *first == 0x16)
    {
        return None;
    }
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let mut seen = Seen {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        ..Seen::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        seen.headers.push((name.to_owned(), value.to_owned()));
    }
    let mut requests = log.lock().unwrap();
    let place = requests.len();
    let earlier = requests.iter().filter(|seen| seen.target != "/v2/").count();
    requests.push(seen.clone());
    drop(requests);
    Some(Exchange {
        seen,
        earlier,
        place,
        reader,
        log,
    })
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            if !std::thread::panicking() {
                result.unwrap();
            }
        }
    }
}

impl Exchange {
    /// Both directions of the connection, for what is no exchange of HTTP any more.
    pub(crate) fn streams(&mut self) -> (&mut impl Read, TcpStream) {
        let writer = self.reader.get_ref().try_clone().unwrap();
        (&mut self.reader, writer)
    }
}
