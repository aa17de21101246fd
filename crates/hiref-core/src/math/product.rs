//! Inner products of rows.

/// `product[i, j] = <x_i, y_j>` for rows of d values, f32 or f64; rows of the product are `stride` apart.
///
/// # Panics
/// If the product does not fit its buffer.
pub fn inner_products<T: From<f32> + 'static>(x: &[T], y: &[T], d: usize, product: &mut [T], stride: usize) {
    let (rows, columns) = (x.len() / d, y.len() / d);
    assert!(rows * stride <= product.len() && columns <= stride, "a tile within its buffer");
    // SAFETY: `product` holds `rows` rows of `stride >= columns` values (asserted above); x and y are whole rows of d
    // values, read as row-major matrices, y transposed by its strides; nothing overlaps.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            d,
            product.as_mut_ptr(),
            1,
            stride as isize,
            false,
            x.as_ptr(),
            1,
            d as isize,
            y.as_ptr(),
            d as isize,
            1,
            T::from(0.0),
            T::from(1.0),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
