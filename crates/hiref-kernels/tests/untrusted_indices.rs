//! Safe functions read nothing outside their buffers, whatever indices, sizes and numbers they are given. The emulator guards every buffer,
//! and fills what is not written yet with NaN.

#![cfg(feature = "emulation")]

use hiref_kernels::{
    Auction, Blocks, Buffer, Cost, DeviceRows, ExactSearch, NONE, PartScan, Queue, Scan, Schedule, auction,
    block_means, column_terms, exact_least, find_shadows, finish_costs, gather_centred, pair_costs, scan_parts,
    slack_of_bits,
};

const FAR: u32 = 1 << 30;

struct Points {
    values: Buffer<f32>,
}

impl Points {
    /// `0, 1, .. n` on a line.
    fn on(queue: &Queue, n: usize) -> Self {
        Self { values: queue.upload(&(0..n).map(|i| i as f32).collect::<Vec<_>>()).unwrap() }
    }

    fn rows(&self) -> DeviceRows<'_> {
        DeviceRows { values: self.values.view(), dimension: 1, scales: None }
    }
}

#[test]
fn pairs_of_points_that_do_not_exist_cost_nothing() {
    let queue = Queue::emulated(Schedule::Rising);
    let (x, y) = (Points::on(&queue, 3), Points::on(&queue, 5));
    let (rows, columns) =
        (queue.upload(&[2_u32, 3, 0, FAR, 1]).unwrap(), queue.upload(&[4_u32, 0, 5, 1, NONE]).unwrap());
    let costs = pair_costs(&queue, Cost::SquaredEuclidean, &x.rows(), &y.rows(), rows.view(), columns.view()).unwrap();
    assert_eq!(costs.to_vec().unwrap(), [4.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn rows_that_do_not_exist_find_nothing() {
    let queue = Queue::emulated(Schedule::Falling);
    let (x, y) = (Points::on(&queue, 3), Points::on(&queue, 5));
    let (prices, rows) = (queue.zeros::<f64>(5).unwrap(), queue.upload(&[1_u32, 3, FAR, NONE]).unwrap());
    let mut least = queue.upload(&[f64::INFINITY; 4]).unwrap();
    let mut columns = queue.upload(&[NONE; 4]).unwrap();
    let search = ExactSearch {
        cost: Cost::Euclidean,
        x: x.rows(),
        y: y.rows(),
        first_column: 0,
        prices: prices.view(),
        rows: rows.view(),
    };
    exact_least(&queue, &search, &mut least, &mut columns).unwrap();
    assert_eq!(columns.to_vec().unwrap(), [1, NONE, NONE, NONE]);
    assert_eq!(least.to_vec().unwrap(), [0.0, f64::INFINITY, f64::INFINITY, f64::INFINITY]);
}

#[test]
fn blocks_end_at_their_stride_and_at_the_last_point() {
    let queue = Queue::emulated(Schedule::Strided);
    let points = Points::on(&queue, 4);
    // The second block says that it is larger than it can be.
    let index = queue.upload(&[3_u32, FAR, 1, 2]).unwrap();
    let sizes = queue.upload(&[2_u32, 1000]).unwrap();
    let blocks = Blocks { index: index.view(), sizes: sizes.view(), stride: 2 };
    let means = block_means(&queue, &points.rows(), &blocks, false).unwrap();
    assert_eq!(means.to_vec().unwrap(), [3.0, 1.5]);
    let mut centred = queue.allocate(4).unwrap();
    gather_centred(&queue, &points.rows(), &blocks, means.view(), false, &mut centred).unwrap();
    assert_eq!(centred.to_vec().unwrap(), [0.0, 0.0, -0.5, 0.5]);
    let terms = column_terms(&queue, Cost::SquaredEuclidean, &points.rows(), &blocks, means.view()).unwrap();
    assert_eq!(terms.to_vec().unwrap(), [0.0, 0.0, 0.25, 0.25]);
    let products = queue.upload(&[0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]).unwrap();
    let costs = finish_costs(&queue, Cost::SquaredEuclidean, products, terms.view(), &blocks, 4).unwrap();
    assert_eq!(costs.costs.to_vec().unwrap()[4..], [0.0, -2.0, 2.0, 0.0]);

    let (g, columns) = (queue.zeros::<f32>(4).unwrap(), queue.upload(&[0_u32, 1, 0, FAR]).unwrap());
    let shadows = find_shadows(&queue, costs.costs.view(), &blocks, 2, g.view(), columns.view()).unwrap();
    let shadows = shadows.to_vec().unwrap();
    assert_eq!((shadows[2], shadows[3]), (NONE, NONE));

    let epsilon = queue.upload(&[1e-3_f32; 2]).unwrap();
    let settings =
        Auction { first_epsilon: epsilon.view(), epsilon: epsilon.view(), reduction: 0.5, round_limit: 1000 };
    let mut g = queue.zeros(4).unwrap();
    let (columns, _) = auction(&queue, costs.costs.view(), &blocks, &settings, &mut g).unwrap();
    assert_eq!(columns.to_vec().unwrap()[2..], [1, 0]);
}

#[test]
fn costs_that_are_no_numbers_end_an_auction() {
    let queue = Queue::emulated(Schedule::Rising);
    let costs = queue.upload(&[f32::NAN; 9]).unwrap();
    let (index, sizes) = (queue.zeros(3).unwrap(), queue.upload(&[3_u32]).unwrap());
    let blocks = Blocks { index: index.view(), sizes: sizes.view(), stride: 3 };
    let epsilon = queue.upload(&[1e-3_f32]).unwrap();
    let settings = Auction { first_epsilon: epsilon.view(), epsilon: epsilon.view(), reduction: 0.5, round_limit: 50 };
    let mut g = queue.zeros(3).unwrap();
    let (_, rounds) = auction(&queue, costs.view(), &blocks, &settings, &mut g).unwrap();
    assert_eq!(rounds.to_vec().unwrap(), [NONE]);
}

#[test]
fn parts_that_do_not_exist_are_left_out() {
    let queue = Queue::emulated(Schedule::Rising);
    let products = queue.upload(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let (x_squares, y_squares) = (queue.zeros(2).unwrap(), queue.zeros(3).unwrap());
    let (prices, own) = (queue.zeros(3).unwrap(), queue.zeros(2).unwrap());
    let row_parts = queue.upload(&[1_u32, FAR]).unwrap();
    // The second part ends far past the columns.
    let offsets = queue.upload(&[0_u32, 1, FAR]).unwrap();
    let scan = Scan {
        cost: Cost::NegativeInnerProduct,
        products: products.view(),
        x_squares: x_squares.view(),
        x_slack: x_squares.view(),
        y_squares: y_squares.view(),
        prices: prices.view(),
        first_column: 0,
        width: 1,
    };
    let parts = PartScan { own: own.view(), row_parts: row_parts.view(), offsets: offsets.view(), reached: (0, 2) };
    let mut slack = queue.upload(&[NONE; 4]).unwrap();
    scan_parts(&queue, &scan, &parts, &mut slack).unwrap();
    let slack: Vec<f32> = slack.to_vec().unwrap().into_iter().map(slack_of_bits).collect();
    assert_eq!(slack, [f32::INFINITY, f32::INFINITY, -1.0, -3.0]);
}

#[test]
fn more_than_memory_can_hold_is_an_error() {
    let queue = Queue::emulated(Schedule::Rising);
    assert!(queue.allocate::<f64>(usize::MAX / 2).is_err());
    assert!(queue.send(usize::MAX / 2, 3, |_, _: &mut [f32]| {}).is_err());
}
