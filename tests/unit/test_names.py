"""Which strings are names, what is said of those that are none, and adapted names."""

import itertools
import re
import subprocess
import sys
import unicodedata
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatd.wire import names
from chatd.wire.names import (
    MAX_NAME_LENGTH,
    RESERVED_NAMES,
    BadName,
    Name,
    adapted_name,
    parse_name,
)

ALPHABET = "A name has only letters, digits, '_' and '.', and no "
HYPHEN = "A name has no '-', because that separates target and message."
LENGTH = "A name has 1 to 32 characters."
FIRST = "A name begins with a letter or a digit."
UNSTABLE = "A name must stay the same when its upper case is made lower case."
ONE_SCRIPT = "A name has letters of one script only."
RIGHT_TO_LEFT = (
    "A right-to-left name begins with a letter, ends with a letter or a digit,"
    " and has digits of one kind."
)

any_text = st.text(st.characters(exclude_categories=()))  # surrogates too

# Strings that come close to names: letters, marks and digits of a few scripts, with
# some of what must be refused among them.
near_names = st.text(
    st.one_of(
        st.sampled_from("abzABZ019_.-İıßẞΣσςǅǆⅣⅷKΩÅªﬁｓＳ－．１ｶﾞー〇〆々ʻʼː"),
        st.sampled_from("\u0300\u0301\u0307\u0327\u0345\u064b\u3099\u200c\u200d\ufe0f"),
        st.characters(
            categories=["L", "M", "Nd"], min_codepoint=0x80, max_codepoint=0x11FF
        ),
        st.characters(categories=["Lu", "Lt"], min_codepoint=0x80),
        st.sampled_from("漢字かなカナ한글ㄅㄆאבגاب٠١۰۱हिन्दीไทย"),
    ),
    max_size=40,
)
of_one_script = st.one_of(
    *(
        st.text(st.one_of(st.characters(min_codepoint=a, max_codepoint=b)), max_size=34)
        for a, b in [
            (0x41, 0x5A),
            (0xC0, 0x24F),
            (0x370, 0x3FF),
            (0x400, 0x52F),
            (0x531, 0x586),
            (0x5D0, 0x5EA),
            (0x621, 0x669),
            (0x904, 0x96F),
            (0xE01, 0xE4E),
            (0x10A0, 0x10FF),
            (0x13A0, 0x13FD),
            (0x1E00, 0x1EFF),
            (0x1F00, 0x1FFC),
            (0x3041, 0x30FE),
            (0xAC00, 0xACFF),
            (0xFF21, 0xFF9F),
            (0x10400, 0x1044F),
            (0x1E900, 0x1E943),
        ]
    )
)
strings = st.one_of(any_text, near_names, of_one_script)


def reason(text: str, **options: bool) -> str:
    with pytest.raises(BadName) as caught:
        parse_name(text, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "key", "shown"),
    [
        ("alice", "alice", "alice"),
        ("Alice", "alice", "Alice"),
        ("  bob ", "bob", "bob"),
        ("a", "a", "a"),
        ("7", "7", "7"),
        ("9.to_5.", "9.to_5.", "9.to_5."),
        ("x" * 32, "x" * 32, "x" * 32),
        ("Zoë", "zoë", "Zoë"),
        ("Zoe\u0308", "zoë", "Zoë"),
        ("Straße", "straße", "Straße"),
        ("ΟΔΟΣ", "οδος", "ΟΔΟΣ"),
        ("Иван.2", "иван.2", "Иван.2"),
        ("İstanbul", "i\u0307stanbul", "İstanbul"),
        ("ａｌｉｃｅ１", "alice1", "alice1"),
        ("\u212aelvin", "kelvin", "Kelvin"),
        ("שלום", "שלום", "שלום"),
        ("שלום1", "שלום1", "שלום1"),
        ("محمد١٢", "محمد١٢", "محمد١٢"),
        ("हिन्दी", "हिन्दी", "हिन्दी"),
        ("สวัสดี", "สวัสดี", "สวัสดี"),
        ("王五", "王五", "王五"),
        ("二〇二六", "二〇二六", "二〇二六"),
        ("ｶﾞﾝﾀﾞﾑ", "ガンダム", "ガンダム"),
        ("ʻOkina", "ʻokina", "ʻOkina"),
    ],
)
def test_a_name_has_a_key_and_the_form_that_is_shown(
    text: str, key: str, shown: str
) -> None:
    assert parse_name(text) == Name(key, shown)


@pytest.mark.parametrize(
    "text",
    [
        "山田たろうタロー_1",
        "金王김왕",
        "王ㄨㄤ.",
        "ユーザー",
        "らーめん",
        "〆切り",
        "人々",
    ],
)
def test_scripts_that_are_written_together_count_as_one(text: str) -> None:
    assert parse_name(text).shown == text


@pytest.mark.parametrize(
    "text",
    [
        "\u0430dmin",  # Cyrillic a
        "王Bob",
        "Bobж",
        "カ한",
        "ㄅか",
        "ㄅ한",
        "λa",
        "a१",
        "ab\u05d0",
        "שלום٣",
        "かーж",
    ],
)
def test_scripts_that_are_not_written_together_are_refused(text: str) -> None:
    assert reason(text) == ONE_SCRIPT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", LENGTH),
        ("   ", LENGTH),
        ("x" * 33, LENGTH),
        ("x" * 100_000, LENGTH),
        ("é" * 33, LENGTH),
        ("İ" * 17, LENGTH),  # 34 characters in lower case
        ("bob-Hey there!", HYPHEN),
        ("-", HYPHEN),
        ("x" * 100_000 + "-", HYPHEN),
        ("ａ－ｂ", HYPHEN),
        ("_x", FIRST),
        (".x", FIRST),
        ("\u0301a", FIRST),
        ("\u0e31", FIRST),
        ("John Smith", ALPHABET + "space."),
        ("bob:", ALPHABET + "':'."),
        ("O'Hara", ALPHABET + '"\'".'),
        ("/help", ALPHABET + "'/'."),
        ("a\tb", ALPHABET + "U+0009."),
        ("a\x00", ALPHABET + "U+0000."),
        ("\x1b[2J", ALPHABET + "U+001B."),
        ("a\x9b", ALPHABET + "U+009B."),
        ("\ud800", ALPHABET + "U+D800."),
        ("a\u200db", ALPHABET + "U+200D."),
        ("a\u202eb", ALPHABET + "U+202E."),
        ("a\u00adb", ALPHABET + "U+00AD."),
        ("\u3000bob", ALPHABET + "U+3000."),
        ("é\u20dd", ALPHABET + "U+20DD."),
        ("Bob😀", ALPHABET + "'😀'."),
        ("ﬁona", ALPHABET + "'ﬁ'."),
        ("Ⅳ", ALPHABET + "'Ⅳ'."),
        ("ǅ", ALPHABET + "'ǅ'."),
        ("col·lega", ALPHABET + "'·'."),
        ("bobː", ALPHABET + "'ː'."),
        ("é：", ALPHABET + "':'."),
        ("1שלום", RIGHT_TO_LEFT),
        ("שלום.", RIGHT_TO_LEFT),
        ("محمد١2", RIGHT_TO_LEFT),
        ("١٢", RIGHT_TO_LEFT),
    ],
)
def test_what_is_no_name_gets_its_reason(text: str, expected: str) -> None:
    assert reason(text) == expected
    assert reason(text, reserved_too=True) == expected


def test_the_length_is_that_of_the_result_not_of_the_input() -> None:
    assert parse_name("e\u0301" * 32).shown == "é" * 32
    longest = "\u03b1\u0313\u0300\u0345" * 32  # four code points become one
    assert parse_name(longest).shown == "\u1f82" * 32


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_a_reserved_name_is_refused_in_any_spelling(name: str) -> None:
    expected = f"The name '{name}' is reserved."
    full_width = "".join(chr(ord(c) + 0xFEE0) for c in name)
    assert reason(name) == expected
    assert reason(f" {name.upper()} ") == expected
    assert reason(full_width) == expected


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_a_reserved_name_can_be_a_target(name: str) -> None:
    assert parse_name(name.upper(), reserved_too=True) == Name(name, name.upper())


def test_the_reserved_names_are_those_of_the_documentation() -> None:
    documented = "password, me, you, all, system, server, error, chatd, nobody"
    assert set(documented.split(", ")) == RESERVED_NAMES


def test_a_refusal_is_the_same_when_it_is_repeated() -> None:
    assert reason("ж_é") == reason("ж_é") == ONE_SCRIPT


def test_a_name_whose_key_is_not_its_own_key_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No such name is known; another version of Unicode may bring one.
    monkeypatch.setattr(names, "_enforce", lambda _, text: text + "é")
    with pytest.raises(BadName, match=f"^{UNSTABLE}$"):
        names._international_name("é")


def test_a_name_that_precis_finds_unstable_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Unstable:
        def enforce(self, text: str) -> str:
            raise UnicodeEncodeError("x", text, 0, 1, "DISALLOWED/not_idempotent")

    monkeypatch.setattr(names, "_profile", lambda _: Unstable())
    with pytest.raises(BadName, match=f"^{UNSTABLE}$"):
        names._international_name("é")


def test_a_name_cannot_be_changed() -> None:
    name = parse_name("alice")
    with pytest.raises(FrozenInstanceError):
        name.key = "bob"  # type: ignore[misc]


def test_ascii_names_do_not_load_the_libraries_for_others() -> None:
    script = (
        "import sys\n"
        "from chatd.wire.names import BadName, adapted_name, parse_name\n"
        "parse_name('Alice')\n"
        "adapted_name('John Smith', {'john_smith'}.__contains__)\n"
        "try:\n"
        "    parse_name('a b')\n"
        "except BadName:\n"
        "    pass\n"
        "loaded = {'precis_i18n', 'confusable_homoglyphs'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_no_long_string_is_kept_in_the_cache() -> None:
    names._judge.cache_clear()
    reason("é" * 129)
    assert names._judge.cache_info().currsize == 0
    reason("é" * 128)
    assert names._judge.cache_info().currsize == 1


@pytest.mark.unmeasured
def test_every_single_character_is_a_name_or_refused_as_one() -> None:
    # Of the large blocks (Han, Hangul, Tangut, private use) one in a hundred.
    alphabets = [range(0x3400), range(0xA000, 0xAC00), range(0xF900, 0x17000)]
    for code in {*range(0, sys.maxunicode + 1, 101), *itertools.chain(*alphabets)}:
        try:
            name = parse_name(chr(code))
        except BadName:
            continue
        assert unicodedata.category(name.shown[0])[0] in "LN", hex(code)
        assert parse_name(name.key).key == parse_name(name.shown).key == name.key


@settings(deadline=None)
@given(strings)
@example("ΑΣ")
@example("İ")
@example("Ա\u0587")
@example("ſ")
@example("\u1e9e")
@example("ㄱ")
@example("ﾡ")
def test_a_name_is_a_spelling_of_itself_and_keeps_the_rules(text: str) -> None:
    try:
        name = parse_name(text, reserved_too=True)
    except BadName as error:
        sentence = str(error)
        assert re.fullmatch(r"(A|The) [a-z].*\.", sentence)
        assert sentence.isprintable()
        assert len(sentence) < 120
        return
    assert parse_name(name.shown, reserved_too=True) == name
    assert parse_name(name.key, reserved_too=True).key == name.key
    for form in (name.key, name.shown):
        assert 1 <= len(form) <= MAX_NAME_LENGTH
        assert form.isprintable()
        assert not set(form) & set(" -:,/")
        assert unicodedata.category(form[0])[0] in "LN"
        assert all(c in "_." or unicodedata.category(c)[0] in "LMN" for c in form)


@settings(deadline=None)
@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.]{0,31}", fullmatch=True))
def test_the_short_way_for_ascii_leads_to_what_precis_says(text: str) -> None:
    assert parse_name(text, reserved_too=True) == names._international_name(text)


@settings(deadline=None)
@given(strings)
def test_an_ascii_string_that_is_no_name_is_none_to_precis_either(text: str) -> None:
    text = text.encode("ascii", "ignore").decode()
    try:
        parse_name(text, reserved_too=True)
    except BadName:
        if text.strip(" "):
            with pytest.raises(BadName):
                names._international_name(text.strip(" "))


# Adapted names ----------------------------------------------------------------------


def nobody(key: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Alice", "Alice"),
        (" bob\r\n", "bob"),
        ("John Smith", "John_Smith"),
        ("mary-jane", "mary_jane"),
        ("bob: hi", "bob__hi"),
        ("@bob", "bob"),
        ("..bob", "bob"),
        ("a\x1b[31m", "a__31m"),
        ("naïve café", "naïve_café"),
        ("Zoe\u0308!", "Zoë_"),
        ("ﬁona", "fiona"),
        ("①", "1"),
        ("王 Bob", "王____"),
        ("Bob 王", "Bob__"),
        ("שלום!", "שלום"),  # a sign after it would break the rule on directions
        ("हिन्दी नाम", "हिन्दी_नाम"),
        ("x" * 100_000, "x" * 32),
        ("é" * 40, "é" * 32),
        ("İ" * 40, "İ" * 16),
        ("", "user"),
        ("---", "user"),
        ("😀", "user"),
        ("\u0301", "user"),
        ("\ud800", "user"),
        ("١٢", "user"),
    ],
)
def test_any_string_is_adapted_to_the_rules(text: str, shown: str) -> None:
    assert adapted_name(text, nobody).shown == shown


@pytest.mark.parametrize(
    ("text", "numbered"),
    [
        ("Alice", ["Alice", "Alice.2", "Alice.3"]),
        ("", ["user", "user.2", "user.3"]),
        ("SYSTEM", ["SYSTEM.2", "SYSTEM.3", "SYSTEM.4"]),
        ("y" * 32, ["y" * 32, "y" * 30 + ".2", "y" * 30 + ".3"]),
        ("שלום", ["שלום", "שלום.2", "שלום.3"]),
        ("İ" * 16, ["İ" * 16, "İ" * 15 + ".2", "İ" * 15 + ".3"]),
    ],
)
def test_names_that_fall_together_are_numbered(text: str, numbered: list[str]) -> None:
    taken: set[str] = set()
    given_out = []
    for _ in numbered:
        name = adapted_name(text, taken.__contains__)
        taken.add(name.key)
        given_out.append(name.shown)
    assert given_out == numbered


def test_numbers_grow_beyond_one_digit_and_still_fit() -> None:
    taken: set[str] = set()
    for _ in range(120):
        taken.add(adapted_name("z" * 50, taken.__contains__).key)
    assert "z" * 29 + ".99" in taken
    assert "z" * 28 + ".120" in taken
    assert len(taken) == 120


def test_names_that_differ_in_case_only_become_two() -> None:
    first = adapted_name("Bob", nobody)
    assert adapted_name("BOB", {first.key}.__contains__) == Name("bob.2", "BOB.2")


@settings(deadline=None)
@given(st.lists(strings, max_size=8))
def test_whatever_there_was_everyone_gets_a_name_of_their_own(
    texts: list[str],
) -> None:
    taken: set[str] = set()
    for text in texts:
        name = adapted_name(text, taken.__contains__)
        assert name.key not in taken
        assert parse_name(name.shown) == name
        taken.add(name.key)


@settings(deadline=None)
@given(strings)
def test_what_is_a_name_already_stays_as_it_is(text: str) -> None:
    try:
        name = parse_name(text)
    except BadName:
        return
    assert adapted_name(text, nobody) == name
