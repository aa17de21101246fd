//! What a store answers: lists of objects and refusals, as XML that it has written itself.

/// An object of a list.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Object {
    pub(in super::super) key: String,
    pub(in super::super) size: u64,
    pub(in super::super) etag: String,
}

/// A page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct List {
    pub(in super::super) objects: Vec<Object>,
    /// What to ask for the next page with, if there is one.
    pub(in super::super) next: Option<String>,
}

/// Reads the answer to `ListObjectsV2`; nothing where it is something else.
pub(in super::super) fn read_list(xml: &str) -> Option<List> {
    let mut rest = element(xml, "ListBucketResult")?;
    let is_truncated = element(rest, "IsTruncated")? == "true";
    let next = if is_truncated { Some(text(rest, "NextContinuationToken")?) } else { None };
    let mut objects = Vec::new();
    while let Some(object) = element(rest, "Contents") {
        let (key, etag) = (text(object, "Key")?, text(object, "ETag").unwrap_or_default());
        objects.push(Object { key, size: text(object, "Size")?.parse().ok()?, etag });
        rest = &rest[rest.find("</Contents>")? + "</Contents>".len()..];
    }
    Some(List { objects, next })
}

/// The text of the first element of a name.
pub(super) fn text(xml: &str, name: &str) -> Option<String> {
    element(xml, name).map(|inside| unescape(inside.trim()))
}

/// What the first element of a name holds.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = xml;
    loop {
        let at = rest.find(&format!("<{name}"))?;
        rest = &rest[at + 1 + name.len()..];
        // Attributes may follow the name, and longer names are others.
        if let Some(inside) =
            rest.strip_prefix('>').or_else(|| rest.strip_prefix(' ')?.split_once('>').map(|(_, inside)| inside))
        {
            return Some(&inside[..inside.find(&format!("</{name}>"))?]);
        }
    }
}

/// Text with its entities replaced; what is none stays.
fn unescape(text: &str) -> String {
    let mut parts = text.split('&');
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let character = part.split_once(';').and_then(|(name, rest)| {
            let number = name.strip_prefix('#').and_then(|number| match number.strip_prefix('x') {
                Some(digits) => u32::from_str_radix(digits, 16).ok(),
                None => number.parse().ok(),
            });
            let named = || {
                let names = [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\'')];
                names.into_iter().find(|(known, _)| *known == name).map(|(_, character)| character)
            };
            Some((number.and_then(char::from_u32).or_else(named)?, rest))
        });
        if let Some((character, rest)) = character {
            all.push(character);
            all.push_str(rest);
        } else {
            all.push('&');
            all.push_str(part);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_stores_write_them() {
        let xml = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Name>b</Name><KeyCount>2</KeyCount><IsTruncated>true</IsTruncated><NextContinuationToken>1&amp;2=</NextContinuationToken>\
            <Contents><Key>a &amp;amp; b&#x2f;&#60;.tar</Key><ETag>&quot;1f&quot;</ETag><Size>7</Size></Contents>\
            <Contents>\n<Key>&bogus; &</Key><Size> 8 </Size></Contents></ListBucketResult>";
        let object = |key: &str, size, etag: &str| Object { key: key.to_owned(), size, etag: etag.to_owned() };
        let objects = vec![object("a &amp; b/<.tar", 7, "\"1f\""), object("&bogus; &", 8, "")];
        assert_eq!(read_list(xml), Some(List { objects, next: Some("1&2=".to_owned()) }));
        let empty = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
        assert_eq!(read_list(empty), Some(List { objects: Vec::new(), next: None }));
        for wrong in [
            "",
            "<html></html>",
            "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            "<ListBucketResult",
        ] {
            assert_eq!(read_list(wrong), None, "{wrong}");
        }
        assert_eq!(read_list(&xml.replace(">7<", ">x<")), None);
    }
}
