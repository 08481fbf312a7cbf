//! Chance as Python's `random.Random` has it: the same seed chooses the same.
//!
//! The generator is MT19937 (Matsumoto, Nishimura: Mersenne Twister, 1998), seeded and asked as
//! CPython does it (`Lib/random.py`, `Modules/_randommodule.c`): playbooks choose a minute for a
//! cron job with `random(seed=inventory_hostname)` and expect that minute from then on.
//!
//! Never here: anything secret. Whoever has seen 624 numbers knows the rest.

use super::Fault;
use crate::value::Value;
use sha2::{Digest, Sha512};
use updraft_base::Chance;

/// Words of the state, and the distance of those that are mixed, from the paper.
const WORDS: usize = 624;
const DISTANCE: usize = 397;

/// What Python says when there is nothing to choose from.
pub(super) const EMPTY: &str = "Cannot choose from an empty sequence";

/// A generator whose numbers depend on its seed alone.
pub(super) struct MersenneTwister {
    state: [u32; WORDS],
    next: usize,
}

impl MersenneTwister {
    /// As `Random(seed)`; numbers and text are seeds, other values are not.
    pub(super) fn seeded(seed: &Value) -> Result<Self, Fault> {
        Ok(match seed {
            Value::Str(text) => Self::from_text(text),
            Value::Float(number) => Self::from_number(float_hash(*number)),
            other => match other.as_int() {
                Some(number) => Self::from_number(number.unsigned_abs()),
                None => {
                    return Err(Fault::new(
                        "The only supported seed types are: None,\nint, float, str, bytes, and bytearray.",
                    ));
                }
            },
        })
    }

    /// Text is a whole number that its bytes make, with their SHA-512 behind them.
    pub(super) fn from_text(text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend_from_slice(&Sha512::digest(text.as_bytes()));
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        let words = bytes[start..]
            .rchunks(4)
            .map(|chunk| chunk.iter().fold(0, |word: u32, byte| (word << 8) | u32::from(*byte)));
        Self::from_words(&words.collect::<Vec<_>>())
    }

    fn from_number(number: u64) -> Self {
        let (low, high) = (number as u32, (number >> 32) as u32);
        if high == 0 { Self::from_words(&[low]) } else { Self::from_words(&[low, high]) }
    }

    /// `init_by_array` of the paper's authors, 26 January 2002; its numbers are theirs.
    fn from_words(key: &[u32]) -> Self {
        let mut state = [0; WORDS];
        state[0] = 19_650_218_u32;
        for index in 1..WORDS {
            let before = state[index - 1] ^ (state[index - 1] >> 30);
            state[index] = before.wrapping_mul(1_812_433_253).wrapping_add(index as u32);
        }
        let mut place = 1;
        let mix = |state: &mut [u32; WORDS], place: &mut usize, factor: u32| {
            let before = state[*place - 1] ^ (state[*place - 1] >> 30);
            state[*place] ^= before.wrapping_mul(factor);
        };
        let step = |state: &mut [u32; WORDS], place: &mut usize| {
            *place += 1;
            if *place == WORDS {
                state[0] = state[WORDS - 1];
                *place = 1;
            }
        };
        for round in 0..WORDS.max(key.len()) {
            let index = round % key.len();
            mix(&mut state, &mut place, 1_664_525);
            state[place] = state[place].wrapping_add(key[index]).wrapping_add(index as u32);
            step(&mut state, &mut place);
        }
        for _ in 1..WORDS {
            mix(&mut state, &mut place, 1_566_083_941);
            state[place] = state[place].wrapping_sub(place as u32);
            step(&mut state, &mut place);
        }
        state[0] = 0x8000_0000;
        Self { state, next: WORDS }
    }

    fn twist(&mut self) {
        for index in 0..WORDS {
            let pair =
                (self.state[index] & 0x8000_0000) | (self.state[(index + 1) % WORDS] & 0x7fff_ffff);
            let odd = if pair & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[index] = self.state[(index + DISTANCE) % WORDS] ^ (pair >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// `getrandbits`, for 1 to 64 bits: the lower half is drawn first.
    fn bits(&mut self, count: u32) -> u64 {
        if count <= 32 {
            return u64::from(self.next_u32() >> (32 - count));
        }
        let low = u64::from(self.next_u32());
        low | (u64::from(self.next_u32() >> (64 - count)) << 32)
    }
}

impl Chance for MersenneTwister {
    fn next_u64(&mut self) -> u64 {
        self.bits(64)
    }

    /// `_randbelow`: draws as many bits as the bound has until they are below it.
    fn below(&mut self, bound: u64) -> u64 {
        let count = u64::BITS - bound.leading_zeros();
        loop {
            let drawn = self.bits(count);
            if drawn < bound {
                return drawn;
            }
        }
    }
}

/// `hash()` of a number with a fraction: its value modulo 2^61 - 1
/// (docs.python.org, "Hashing of numeric types").
fn float_hash(number: f64) -> u64 {
    const MODULUS: u64 = (1 << 61) - 1;
    if number.is_nan() {
        return 0;
    }
    let positive = if number.is_infinite() {
        314_159
    } else {
        let bits = number.abs().to_bits();
        let exponent = (bits >> 52) as i64;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, exponent) =
            if exponent == 0 { (fraction, -1074) } else { (fraction | (1 << 52), exponent - 1075) };
        // 2^61 is 1 there, so that a power of two turns the bits around.
        let turn = exponent.rem_euclid(61);
        ((u128::from(mantissa) << turn) % u128::from(MODULUS)) as u64
    };
    match (number < 0.0, positive) {
        (false, hash) => hash,
        // -1 tells of an error in CPython, and is never a hash.
        (true, 1) => 2_u64.wrapping_neg(),
        (true, hash) => hash.wrapping_neg(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: &Value) -> Vec<u64> {
        let mut chance = MersenneTwister::seeded(seed).unwrap();
        [1, 2, 7, 60, 1000, 1 << 20, 1 << 32, (1 << 40) + 1, 60, u64::MAX]
            .map(|bound| chance.below(bound))
            .to_vec()
    }

    /// What CPython 3.11 says to
    /// `r = random.Random(SEED); [r.randrange(n) for n in (1, 2, 7, 60, 1000, 1 << 20, 1 << 32,
    /// (1 << 40) + 1, 60, (1 << 64) - 1)]`.
    #[test]
    fn a_seed_draws_what_python_draws() {
        let golden: &[(Value, [u64; 10])] = &[
            (
                Value::Int(0),
                [
                    0,
                    1,
                    0,
                    16,
                    988,
                    1_019_064,
                    2_046_968_324,
                    480_641_685_011,
                    32,
                    5_198_990_648_923_353_370,
                ],
            ),
            (
                Value::Int(1),
                [
                    0,
                    0,
                    2,
                    7,
                    507,
                    942_651,
                    901_749_037,
                    62_224_870_530,
                    57,
                    7_190_703_300_742_001_586,
                ],
            ),
            (
                Value::Int(-1337),
                [
                    0,
                    0,
                    6,
                    52,
                    340,
                    804_687,
                    4_276_264_787,
                    449_670_706_037,
                    48,
                    15_934_852_270_441_746_315,
                ],
            ),
            (
                Value::Int(1 << 40),
                [
                    0,
                    1,
                    5,
                    4,
                    436,
                    101_884,
                    1_665_290_981,
                    866_195_019_826,
                    44,
                    5_897_663_683_784_874_162,
                ],
            ),
            (
                Value::Int(i64::MIN),
                [
                    0,
                    0,
                    1,
                    54,
                    514,
                    177_745,
                    1_310_961_893,
                    420_752_470_730,
                    15,
                    12_360_227_850_010_150_773,
                ],
            ),
            (
                Value::Float(1.5),
                [
                    0,
                    0,
                    4,
                    28,
                    565,
                    413_701,
                    3_586_079_426,
                    717_640_109_342,
                    52,
                    17_361_512_478_376_555_062,
                ],
            ),
            (
                Value::Float(-1.0),
                [
                    0,
                    1,
                    5,
                    6,
                    846,
                    222_057,
                    402_376_097,
                    203_467_129_438,
                    57,
                    2_469_955_551_017_061_119,
                ],
            ),
            (
                Value::Float(-1e300),
                [
                    0,
                    0,
                    4,
                    30,
                    703,
                    529_429,
                    1_871_973_185,
                    903_980_706_431,
                    28,
                    8_348_610_630_188_106_110,
                ],
            ),
            (
                Value::Float(5e-324),
                [
                    0,
                    1,
                    3,
                    11,
                    760,
                    1_046_850,
                    1_191_865_544,
                    28_142_617_866,
                    41,
                    17_955_927_674_253_449_905,
                ],
            ),
            (
                Value::Float(f64::INFINITY),
                [
                    0,
                    1,
                    2,
                    6,
                    120,
                    642_340,
                    2_606_033_286,
                    405_924_194_255,
                    10,
                    11_314_046_021_730_375_604,
                ],
            ),
            (
                Value::str(""),
                [
                    0,
                    0,
                    3,
                    55,
                    751,
                    463_120,
                    3_677_542_425,
                    804_560_909_561,
                    55,
                    8_480_950_406_958_225_492,
                ],
            ),
            (
                Value::str("foo"),
                [
                    0,
                    1,
                    2,
                    56,
                    726,
                    501_288,
                    4_051_702_840,
                    343_873_982_060,
                    49,
                    17_314_359_861_241_839_698,
                ],
            ),
            (
                Value::str("\0x"),
                [
                    0,
                    1,
                    0,
                    42,
                    729,
                    746_297,
                    203_121_827,
                    631_807_080_343,
                    9,
                    5_446_549_924_365_833_026,
                ],
            ),
            (
                Value::str("web-ä.example.org"),
                [
                    0,
                    1,
                    5,
                    26,
                    110,
                    516_724,
                    181_259_523,
                    153_222_454_727,
                    25,
                    17_229_178_220_252_614_990,
                ],
            ),
            (
                Value::from("x".repeat(3000)),
                [
                    0,
                    1,
                    2,
                    5,
                    640,
                    268_465,
                    997_163_941,
                    1_090_653_665_991,
                    23,
                    2_209_661_409_263_843_963,
                ],
            ),
        ];
        for (seed, numbers) in golden {
            assert_eq!(drawn(seed), numbers, "{seed:?}");
        }
        assert_eq!(drawn(&Value::Bool(true)), drawn(&Value::Int(1)), "True is 1");
    }

    #[test]
    fn a_generator_goes_on_after_its_state_is_used_up() {
        // `r = random.Random('many'); [r.getrandbits(32) for _ in range(2000)][-1]`
        let mut chance = MersenneTwister::from_text("many");
        let last = (0..2000).map(|_| chance.bits(32)).last();
        assert_eq!(last, Some(4_068_264_163));
    }

    #[test]
    fn a_list_is_no_seed() {
        let fault = MersenneTwister::seeded(&Value::list(Vec::new())).err().unwrap();
        assert!(fault.to_string().starts_with("The only supported seed types"), "{fault}");
    }
}
