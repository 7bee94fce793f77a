//! Colours as RFC 7986 5.9 wants them: a name of CSS3, where calendars have `#RRGGBB`.

/// The nearest of the names that people tell apart; `None` for what is no colour.
pub(super) fn css_name(color: &str) -> Option<&'static str> {
    let digits = color.strip_prefix('#')?;
    if !digits.is_ascii() || (digits.len() != 6 && digits.len() != 8) {
        return None;
    }
    let part = |at: usize| i32::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let (red, green, blue) = (part(0)?, part(2)?, part(4)?);
    let distance = |(_, r, g, b): &&(&str, i32, i32, i32)| {
        // The eye sees green best and blue least.
        3 * (r - red).pow(2) + 6 * (g - green).pow(2) + (b - blue).pow(2)
    };
    NAMES.iter().min_by_key(distance).map(|(name, ..)| *name)
}

const NAMES: &[(&str, i32, i32, i32)] = &[
    ("black", 0, 0, 0),
    ("dimgray", 105, 105, 105),
    ("silver", 192, 192, 192),
    ("white", 255, 255, 255),
    ("maroon", 128, 0, 0),
    ("red", 255, 0, 0),
    ("tomato", 255, 99, 71),
    ("salmon", 250, 128, 114),
    ("orange", 255, 165, 0),
    ("gold", 255, 215, 0),
    ("khaki", 240, 230, 140),
    ("olive", 128, 128, 0),
    ("yellowgreen", 154, 205, 50),
    ("green", 0, 128, 0),
    ("limegreen", 50, 205, 50),
    ("mediumseagreen", 60, 179, 113),
    ("teal", 0, 128, 128),
    ("turquoise", 64, 224, 208),
    ("skyblue", 135, 206, 235),
    ("steelblue", 70, 130, 180),
    ("dodgerblue", 30, 144, 255),
    ("royalblue", 65, 105, 225),
    ("navy", 0, 0, 128),
    ("slateblue", 106, 90, 205),
    ("purple", 128, 0, 128),
    ("orchid", 218, 112, 214),
    ("plum", 221, 160, 221),
    ("crimson", 220, 20, 60),
    ("deeppink", 255, 20, 147),
    ("pink", 255, 192, 203),
    ("brown", 165, 42, 42),
    ("chocolate", 210, 105, 30),
    ("tan", 210, 180, 140),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_the_nearest_name() {
        for (color, name) in
            [("#3366CC", "royalblue"), ("#ff0000ff", "red"), ("#00ff00", "limegreen"), ("#fefefe", "white")]
        {
            assert_eq!(css_name(color), Some(name), "{color}");
        }
        for bad in ["red", "#12", "#zzzzzz", "#ééé"] {
            assert_eq!(css_name(bad), None, "{bad}");
        }
    }
}
