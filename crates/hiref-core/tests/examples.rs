//! The examples do what they say.

#[path = "../examples/certificate.rs"]
mod certificate;
#[path = "../examples/pair_two_clouds.rs"]
mod pair_two_clouds;
#[path = "../examples/tensors_and_stopping.rs"]
mod tensors_and_stopping;
#[path = "../examples/unequal_sizes.rs"]
mod unequal_sizes;
#[path = "../examples/warm_start.rs"]
mod warm_start;

#[test]
fn certificate_runs() {
    certificate::main().unwrap();
}

#[test]
fn pair_two_clouds_runs() {
    pair_two_clouds::main().unwrap();
}

#[test]
fn tensors_and_stopping_runs() {
    tensors_and_stopping::main().unwrap();
}

#[test]
fn unequal_sizes_runs() {
    unequal_sizes::main().unwrap();
}

#[test]
fn warm_start_runs() {
    warm_start::main().unwrap();
}
