//! What lies below the HTTP client: connections that notice when nobody waits for them any more, and
//! TLS with settings of ours. The client's own would trust one list of authorities only, and refuse
//! the self-signed certificates that people give to Docker.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use ureq::{
    Error,
    unversioned::transport::{
        Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
        TransportAdapter, time,
    },
};

use crate::error::RegistryError;

/// Between two looks at the caller's flag while nothing comes.
const LOOK: Duration = Duration::from_millis(200);

/// Wraps connections so that waiting for a server that says nothing ends with the caller's flag.
#[derive(Debug)]
pub(crate) struct AttentiveConnector {
    pub(crate) cancelled: Arc<AtomicBool>,
}

impl<In: Transport> Connector<In> for AttentiveConnector {
    type Out = AttentiveTransport<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| AttentiveTransport {
            inner,
            cancelled: Arc::clone(&self.cancelled),
        }))
    }
}

/// A connection that looks at the caller's flag while it waits.
#[derive(Debug)]
pub(crate) struct AttentiveTransport<In> {
    inner: In,
    cancelled: Arc<AtomicBool>,
}

impl<In: Transport> Transport for AttentiveTransport<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let whole = timeout.for_read();
        let begun = Instant::now();
        loop {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(Error::Io(io::Error::other(RegistryError::Cancelled)));
            }
            let left = whole.after.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Error::Timeout(whole.reason));
            }
            let slice = NextTimeout {
                after: time::Duration::Exact(left.min(LOOK)),
                per_read: None,
                ..whole
            };
            match self.inner.await_input(slice) {
                Err(Error::Timeout(_)) => {}
                result => return result,
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// Wraps the connections to `https` addresses.
#[derive(Debug)]
pub(crate) struct TlsConnector {
    /// `None` for an agent that has no business with `https`.
    pub(crate) settings: Option<Arc<ClientConfig>>,
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let settings = self.settings.clone().ok_or(Error::TlsRequired)?;
        let host = details.uri.host().unwrap_or_default();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Tls("the host name is no name for a certificate"))?;
        let connection = ClientConnection::new(settings, name)
            .map_err(|error| Error::Io(std::io::Error::other(error)))?;
        let socket = TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        let mut stream = StreamOwned::new(connection, socket);
        stream.get_mut().set_timeout(details.timeout);
        stream.conn.complete_io(&mut stream.sock)?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(Either::B(TlsTransport { buffers, stream })))
    }
}

/// A connection with TLS.
pub(crate) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl std::fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
