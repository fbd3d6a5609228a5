//! Listening, accepting, and ending.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    net::{SocketAddr, TcpListener as StdListener},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use hoist_store::Store;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    DOCUMENTS, Options, Report, State, answer::answer, tls::Tls, users::Users, wire::Wire,
};
use crate::error::{ApiError, Result};

/// Connections at a time; others wait to be accepted.
const CONNECTIONS: u32 = 256;
/// How long a client may take for the headers of a request, or for the next request.
const HEADERS: Duration = Duration::from_secs(30);
/// How long it may take for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The largest headers of a request, in bytes.
const LARGEST: usize = 32 * 1024;
/// How long requests that run may go on after a stop.
const GRACE: Duration = Duration::from_secs(10);
/// How often uploads that nobody goes on with are looked for.
const TIDYING: Duration = Duration::from_secs(60 * 60);
/// The most threads of the event loop, and of those beside it that work on files and passwords.
const THREADS: (usize, usize) = (8, 64);
/// Between two attempts to accept, when the process has too many descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A registry that listens.
pub struct Server {
    runtime: Runtime,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    state: Arc<State>,
    handle: Handle,
}

/// Ends a server, from any thread.
#[derive(Debug, Clone)]
pub struct Handle {
    stop: watch::Sender<bool>,
}

impl Handle {
    /// Accept nobody any more, let the requests that run end, and return from [`Server::run`]
    /// after ten seconds at the latest.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Read the files of `options` and listen. Nobody is answered yet.
    ///
    /// # Errors
    /// [`ApiError`], each for the option that it names.
    pub fn bind(store: Store, options: &Options, report: Report) -> Result<Self> {
        let users = options.users.as_deref().map(Users::read).transpose()?;
        let tls = options.tls.as_ref().map(Tls::read).transpose()?;
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .worker_threads(processors.min(THREADS.0))
            .max_blocking_threads(THREADS.1)
            .thread_name("hoist-registry")
            .build()
            .map_err(|source| ApiError::Start {
                action: "no event loop",
                source,
            })?;
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for &address in &options.listen {
            let _context = runtime.enter();
            let listening = StdListener::bind(address).and_then(|listener| {
                listener.set_nonblocking(true)?;
                addresses.push(listener.local_addr()?);
                TcpListener::from_std(listener)
            });
            listeners.push(listening.map_err(|source| ApiError::Listen { address, source })?);
        }
        Ok(Self {
            runtime,
            listeners,
            addresses,
            state: Arc::new(State {
                store,
                access: options.access,
                users,
                tls,
                uploads: Mutex::default(),
                documents: Arc::new(Semaphore::new(DOCUMENTS)),
                report,
            }),
            handle: Handle {
                stop: watch::Sender::new(false),
            },
        })
    }

    /// Where it listens, in the order of the options.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What ends it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Answer requests until it is stopped.
    pub fn run(self) {
        let Self {
            runtime,
            listeners,
            state,
            handle,
            ..
        } = self;
        runtime.block_on(async {
            tokio::spawn(tidy(Arc::clone(&state)));
            let room = Arc::new(Semaphore::new(CONNECTIONS as usize));
            for listener in listeners {
                tokio::spawn(accept(
                    listener,
                    Arc::clone(&state),
                    Arc::clone(&room),
                    handle.stop.subscribe(),
                ));
            }
            let mut stop = handle.stop.subscribe();
            // The sender lives in `handle`: this ends with a stop only.
            drop(stop.wait_for(|stop| *stop).await);
            // When all of the room is free, everybody has gone.
            if timeout(GRACE, room.acquire_many(CONNECTIONS))
                .await
                .is_err()
            {
                state.trouble("requests that were still running were cut off".to_owned());
            }
        });
        // What threads are writing for a client that was cut off, nobody waits for.
        runtime.shutdown_background();
    }
}

/// Look for abandoned uploads, now and every hour.
async fn tidy(state: Arc<State>) {
    if state.access == super::Access::ReadOnly {
        return;
    }
    loop {
        let store = state.store.clone();
        if let Err(problem) = super::blocking(move || store.expire_uploads()).await
            && let Some(trouble) = problem.trouble
        {
            state.trouble(trouble);
        }
        sleep(TIDYING).await;
    }
}

/// Accept connections until the server is stopped.
async fn accept(
    listener: TcpListener,
    state: Arc<State>,
    room: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let Some(Some((place, accepted))) = unless_stopped(next, &mut stop).await else {
            return;
        };
        match accepted {
            Ok((stream, client)) => {
                let (state, stop) = (Arc::clone(&state), stop.clone());
                tokio::spawn(serve(stream, client, state, place, stop));
            }
            // A client that is gone again, or no descriptors: others may come through.
            Err(error) => {
                state.trouble(format!("cannot accept a connection: {error}"));
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answer the requests of one connection. Its place is free again afterwards.
async fn serve(
    stream: TcpStream,
    client: SocketAddr,
    state: Arc<State>,
    _place: OwnedSemaphorePermit,
    mut stop: watch::Receiver<bool>,
) {
    // What is lost without it is speed; a client that is gone is found out soon enough.
    let _ = stream.set_nodelay(true);
    let Some(wire) = shake_hands(stream, client, &state).await else {
        return;
    };
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(state, client.ip(), request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(LARGEST)
        .serve_connection(TokioIo::new(wire), service);
    let mut connection = pin!(connection);
    // How a connection ends is the client's affair: what it asked was answered, or cut off by it.
    if unless_stopped(connection.as_mut(), &mut stop)
        .await
        .is_none()
    {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// TLS, where the server has an identity; none when the client does not get that far.
async fn shake_hands(stream: TcpStream, client: SocketAddr, state: &State) -> Option<Wire> {
    let Some(tls) = &state.tls else {
        return Some(Wire::plain(stream));
    };
    if let Err(error) = tls.refresh() {
        state.trouble(format!("the certificate stays as it was: {error}"));
    }
    let acceptor = TlsAcceptor::from(tls.config());
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(Wire::tls(stream)),
        Ok(Err(error)) => {
            state.trouble(format!("no TLS with {}: {error}", client.ip()));
            None
        }
        Err(_) => None,
    }
}

/// What `work` comes to; none when the server is stopped before.
async fn unless_stopped<T>(
    work: impl Future<Output = T>,
    stop: &mut watch::Receiver<bool>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut stopped = pin!(stop.wait_for(|stop| *stop));
    poll_fn(|cx| {
        if stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}
