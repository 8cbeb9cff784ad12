//! TLS client configuration. The certificate of the server must have the host name.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use std::path::Path;
use std::sync::Arc;

/// Creates a client configuration that trusts the certificates in the file `ca`, or by default those of the
/// system. The error is a sentence with the remedy.
pub fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot set up TLS: {error}"))?;
    let Some(path) = ca else {
        let builder = builder
            .with_platform_verifier()
            .map_err(|error| format!("cannot use the system's certificates: {error}: set tls_ca"))?;
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let bad = |what: &dyn std::fmt::Display| {
        format!("tls_ca {}: {what}: name a file of certificates (PEM)", path.display())
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))? {
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() {
        return Err(bad(&"no certificate in it"));
    }
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
