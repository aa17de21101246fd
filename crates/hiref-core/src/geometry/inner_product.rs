//! Every cost's co-clusters come from one bilinear form.

/// placeholder
#[derive(Debug)]
pub(crate) struct InnerProductGeometry;
