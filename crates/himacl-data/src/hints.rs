//! What helps, by what went wrong: the last line of a message, if there is one.

use parquet::errors::ParquetError;
use std::io;

/// By what the system says.
pub(crate) fn io_hint(action: &str, source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound if action == "read" => "\nhint: check the path, and from which folder it starts",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "\nhint: free some space, or write elsewhere",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "\nhint: check the permissions, or choose another place"
        }
        _ => "",
    }
}

/// By what the parquet library says.
pub(crate) fn parquet_hint(source: &ParquetError) -> &'static str {
    if source.to_string().contains("codec") {
        "\nhint: pages are read plain, or packed by snappy, gzip, brotli, lz4 or zstd"
    } else {
        ""
    }
}

/// What makes numbers of an array of another type, by its name as numpy writes it.
pub(crate) fn type_hint(descr: &str) -> &'static str {
    if descr.contains('O') {
        "\nhint: these are Python objects: numpy.stack makes an array of numbers of rows, numpy.save writes it"
    } else if descr.contains('c') {
        "\nhint: complex numbers have two parts: numpy.concatenate([z.real, z.imag], axis=1) keeps both"
    } else {
        ""
    }
}

/// What makes rows of an array of another shape.
pub(crate) fn matrix_hint(shape: &[usize]) -> &'static str {
    match shape.len() {
        0 => "",
        1 => "\nhint: in numpy, a[:, None] makes rows of one coordinate, a[None, :] one row",
        _ => "\nhint: in numpy, a.reshape(len(a), -1) makes one row of each item",
    }
}
