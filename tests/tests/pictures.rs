//! Pictures of kinds that decoders disagree about, beside what Pillow makes of them (scripts/golden/pictures.py).

use himacl::readers::decode_image;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[test]
fn pictures_are_what_pillow_makes_of_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pictures");
    let text = fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: BTreeMap<String, [[u8; 3]; 4]> = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), 7);
    for (name, colours) in expected {
        let image = decode_image(&fs::read(folder.join(&name)).unwrap()).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (64, 64), "{name}");
        for (place, expected) in [(16, 16), (48, 16), (16, 48), (48, 48)].into_iter().zip(colours) {
            let got = image.get_pixel(place.0, place.1).0;
            let near = got.iter().zip(expected).all(|(&got, expected)| got.abs_diff(expected) <= 2);
            assert!(near, "{name} at {place:?}: got {got:?}, Pillow has {expected:?}");
        }
    }
}
