//! Plain http through a proxy, which is asked for the whole address. Tunnels, as TLS needs them, most proxies make to port 443 alone.

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, TcpConnector, Transport,
};
use ureq::{Error, ProxyProtocol};

/// Requests have no body: whatever begins so begins one.
const METHODS: [&[u8]; 2] = [b"GET ", b"HEAD "];

/// Connects to the proxy where plain http is asked for.
#[derive(Debug, Default)]
pub(super) struct Forward;

impl<In: Transport> Connector<In> for Forward {
    type Out = Either<In, Forwarded>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let proxy = details.config.proxy().filter(|proxy| proxy.protocol() == ProxyProtocol::Http);
        let (Some(proxy), Some(host), false) = (proxy, details.uri.host(), details.needs_tls()) else {
            return Ok(None);
        };
        let port = details.uri.port_u16().map_or_else(String::new, |port| format!(":{port}"));
        let to_proxy = ConnectionDetails {
            uri: proxy.uri(),
            addrs: details.resolver.resolve(proxy.uri(), details.config, details.timeout)?,
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let connected = TcpConnector::default().connect(&to_proxy, None::<()>)?;
        let forwarded =
            |inner| Forwarded { inner: Box::new(inner), place: format!("http://{host}{port}").into_bytes() };
        Ok(connected.map(|inner| Either::B(forwarded(inner))))
    }
}

/// A connection to the proxy.
#[derive(Debug)]
pub(super) struct Forwarded {
    inner: Box<dyn Transport>,
    /// What goes before the path.
    place: Vec<u8>,
}

impl Transport for Forwarded {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, mut amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        let method = METHODS.iter().find(|method| output[..amount].starts_with(method)).map(|method| method.len());
        if let Some(at) = method.filter(|&at| output[..amount].get(at) == Some(&b'/')) {
            let behind = at + self.place.len();
            if amount + self.place.len() > output.len() {
                return Err(Error::Other("a request is too long for its buffer".into()));
            }
            output.copy_within(at..amount, behind);
            output[at..behind].copy_from_slice(&self.place);
            amount += self.place.len();
        }
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}
