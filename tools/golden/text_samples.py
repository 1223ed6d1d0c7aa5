"""The strings whose token ids are pinned: scripts, spaces, marks, code and things that look like tokens."""

import random
import unicodedata

# A few plain sentences in each script: "The cat sleeps on the table", greetings, numbers, questions.
SCRIPTS = {
    "latin": [
        "The cat sleeps on the table.", "Is this the right way to the station?", "Le chat dort sur la table ; où est-il ?",
        "Die Straße ist für Fußgänger gesperrt.", "El niño comió piñas y bebió agua.", "Mačka leží pod stołem, żółw też.",
        "Kedi masanın altında uyuyor, ışık açık.", "Con mèo đang ngủ dưới bàn.", "Ég á þrjá hesta og ævagamla bók.",
        "A macska az asztal alatt alszik, őrült!", "Ħamsa u għoxrin, ċentru tal-belt.", "Ọjọ́ dára, ẹ káàárọ̀.",
    ],
    "greek": ["Η γάτα κοιμάται στο τραπέζι.", "Πού είναι ο σταθμός;", "ἐν ἀρχῇ ἦν ὁ λόγος", "ΑΒΓ αβγ ΐ ΰ ς"],
    "cyrillic": ["Кошка спит на столе.", "Де тут вокзал? Їжак і ґудзик.", "Мачка спава под столом, њежно.", "Ёлка, съезд, объём, й", "Мысық үстелде ұйықтап жатыр."],
    "arabic": ["القطة تنام على الطاولة.", "كيف حالك؟ عندي ٣ كتب", "گربه روی میز خوابیده است، ۱۲۳", "بِسْمِ السَّلَامِ", "بلی میز پر سو رہی ہے۔"],
    "hebrew": ["החתול ישן על השולחן.", "שָׁלוֹם עֲלֵיכֶם", "מה השעה? 12:30", "צה״ל, ג׳ירפה"],
    "devanagari": ["बिल्ली मेज़ पर सो रही है।", "क्षत्रिय ज्ञान श्री ऋषि", "मांजर टेबलावर झोपले आहे.", "१२३ रुपये"],
    "bengali": ["বিড়াল টেবিলে ঘুমাচ্ছে।", "আপনি কেমন আছেন? ১২৩", "ক্ষ জ্ঞ ড়"],
    "tamil": ["பூனை மேசையில் தூங்குகிறது.", "வணக்கம், நலமா? ௧௨௩", "க்ஷ ஸ்ரீ"],
    "telugu": ["పిల్లి బల్ల మీద నిద్రపోతోంది.", "నమస్కారం ౧౨౩"],
    "kannada": ["ಬೆಕ್ಕು ಮೇಜಿನ ಮೇಲೆ ಮಲಗಿದೆ.", "ನಮಸ್ಕಾರ ೧೨೩"],
    "malayalam": ["പൂച്ച മേശപ്പുറത്ത് ഉറങ്ങുന്നു.", "നമസ്കാരം ൧൨൩ ൺ"],
    "gujarati": ["બિલાડી ટેબલ પર સૂઈ રહી છે.", "નમસ્તે ૧૨૩"],
    "gurmukhi": ["ਬਿੱਲੀ ਮੇਜ਼ ਤੇ ਸੌਂ ਰਹੀ ਹੈ।", "੧੨੩"],
    "sinhala": ["පූසා මේසය උඩ නිදාගෙන.", "ශ්‍රී ලංකා"],
    "thai": ["แมวนอนอยู่บนโต๊ะ", "สวัสดีครับ ราคา ๑๒๓ บาท", "น้ำ กำ ปู่"],
    "lao": ["ແມວນອນຢູ່ເທິງໂຕະ", "ສະບາຍດີ ໑໒໓"],
    "khmer": ["ឆ្មាដេកលើតុ។", "សួស្តី ១២៣"],
    "myanmar": ["ကြောင်က စားပွဲပေါ်မှာ အိပ်နေတယ်။", "မင်္ဂလာပါ ၁၂၃"],
    "tibetan": ["ཞི་མི་ཅོག་ཙེའི་སྒང་ལ་ཉལ་འདུག", "བཀྲ་ཤིས་བདེ་ལེགས། ༡༢༣", "གྷ ཌྷ"],
    "georgian": ["კატა მაგიდაზე სძინავს.", "ᲓᲘᲚᲐ მშვიდობისა"],
    "armenian": ["Կատուն քնած է սեղանի վրա։", "Բարեւ և ուշ"],
    "ethiopic": ["ድመቷ ጠረጴዛው ላይ ተኝታለች።", "ሰላም ፩፪፫"],
    "chinese": ["猫在桌子上睡觉。", "請問車站在哪裡？", "价格是三百二十一元，〇〇七。", "𠮷野家、𪚥、㐀", "图中有几只猫？请用JSON格式输出。", "豈更車"],
    "japanese": ["猫がテーブルの上で寝ています。", "ｶﾀｶﾅとひらがな、ガギグ", "ガギグ か\u3099ぎ", "東京タワーは３３３ｍです！"],
    "korean": ["고양이가 탁자 위에서 잔다.", "안녕하세요? 값 3만원", unicodedata.normalize("NFD", "한국어 문장"), "\u1112\u1161 \u11ab", "ㄱㄴㄷ ㅏㅑ", "\u1105\u1169\u11a7\u11a8"],
    "mongolian": ["ᠮᠤᠤᠷ ᠤᠨᠲᠠᠵᠤ", "a\u180eb \u180e c"],
    "cherokee": ["ᏪᏌ ᎦᎸᎳᏗ", "ꮳꮃꭹ"],
    "thaana": ["ބުޅާ މޭޒުމަތީގައި"],
    "syriac": ["ܫܠܡܐ ܥܠܟܘܢ"],
    "tifinagh": ["ⴰⵣⵓⵍ ⵎⵓⵛⵛ"],
    "runic": ["ᚠᚢᚦᚨᚱᚲ᛫ᛊᛏᚨᛁᚾᚨ"],
    "newer": ["\U000105d2\u0307 \U000105c9", "\U00011380\U00011381 \U00010d40\U00010d41", "\u1c89\u1c8a \ua7cb", "\U00016d67\U00016d67", "\U00011935\U00011930 \U00011938",
              "\U0002ebf0\U0002ee5d", "\U0001e5d0\U0001e5f1", "a\u0898\u0301 a\u1acf\u0323", "a\U0001e4ec\u0323\u0301"],
}

MARKS = [
    "e\u0301", "E\u0301\u0323", "\u0323\u0301 alone", "q\u0307\u0323 q\u0323\u0307", "\u212b \u2126 \u212a", "\u1e9b\u0323", "\u0344 \u0340 \u0341", "\u0958\u0959 \u09dc",
    "\ufb01 \ufb2a \ufb1d", "\u0f43\u0f4d \u0f73", "\u2adc \u2000\u2001", "Z" + "\u0300\u0301\u0302\u0316\u0317" * 20, "n\u0303a\u0303o\u0303 n\u0303",
    unicodedata.normalize("NFD", "Größe, Façade, naïve, Žluťoučký kůň, Việt Nam"), unicodedata.normalize("NFD", "ガギグゲゴ パピプ"),
    unicodedata.normalize("NFKD", "①②③ ½ ﬁ"), "x\u20dd y\u20e3", "a\u0315\u0300\u05ae\u0062", "\u0061\u0300\u0315\u0062", "\u1100\uac00\u11a8", "\u302a\u302b\u302c",
]

EMOJI = [
    "😀", "😀😃😄", "👍🏽 👍🏿", "👨‍👩‍👧‍👦", "👩🏾‍💻 works", "🏳️‍🌈🏴‍☠️", "🇫🇷🇯🇵🇧🇷", "🇫", "❤️ ❤ ♥︎", "1️⃣2️⃣ #️⃣", "☕️ at 7:00 ☀", "🧑‍🚀🪐✨", "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "\u200d", "a\u200db", "😀\ufe0e", "🫠🫡🩷", "text😀text 😀 text",
]

SPACES = [
    " ", "  ", "   ", "\t", "\t\t", " \t ", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\r", "a\rb", "\n \n", " \n", "\n ", "  \n  \n  x", "a  b", "a   b", "a \n b",
    "a\n  b\n    c", "\ta\t\tb", "a\u00a0b", "a\u00a0\u00a0b", "\u00a0", "a\u2028b\u2029c", "a\u0085b", "a \u0085 b", "a\u3000b", "\u3000\u3000字", "a\u180eb", "a\u200bb", "a \u200b b",
    "a\ufeffb", "\ufeffstart", "a\u2003\u2003b", "a\u202fb", "a\u205fb", "a\u1680b", "a\x0bb\x0cc", "a\x1c\x1d\x1e\x1fb", "end   ", "end \n", "end\n  ", " 1", "  1", "   12", " !", "  !", "   !?",
    "! \n", "!\n\n x", "!\r\n!\n", "...\n\n\n   ...", "x" + " " * 100 + "y", "\n" * 50, " " * 200, "\t" * 33 + "x", " \n" * 20, "a \u3000 \u00a0 b", "\r\n\t \u3000\u2028 .", "1 2  3   4",
]

WORDS = [
    "I'm you're he's she'll we've they'd don't", "I'M YOU'RE HE'S SHE'LL WE'VE THEY'D DON'T", "it'S 'Tis 'twas 'rE 'Ve 'lL", "'\u017f x'\u017f it'\u017fo", "'s't're've'm'll'd", "''s '''t",
    "rock 'n' roll", "o'clock O'Reilly d'accord l'eau", "it\u2019s don\u2019t", "'", "''", "' s", "'l", "'r", "'v", "'le", "x'", "a's1's 's", "'\u212a '\u0130", "1's 2nd's",
    "0", "12", "1234567890", "3.14159", "1,234,567.89", "-42", "1e-10", "0x1F", "²³½¾", "Ⅷ ⅷ", "٣٤٥ ۳۴۵", "१२३ ๑๒๓ ੧੨੩", "① ⑳ ㊿", "〇一二三", "𝟘𝟙𝟚 𝟬", "1a2b3c", "a1 b2", "v1.2.3-rc4",
    "a", "z", "Hello world", " Hello world", "HELLO", "hELLO wORLD", "camelCaseWord snake_case_word kebab-case-word", "antidisestablishmentarianism",
    "Donaudampfschifffahrtsgesellschaft", "llanfairpwllgwyngyll", "!", "!!", "?!?!", "--", "---", "—", "…", "...", "$$$", "a.b.c", "(a)[b]{c}", "\"quoted\"", "«guillemets»", "„unten“", "@user #tag",
    "https://example.org/a/b?c=d&e=%20#f", "user@example.org", "C:\\Windows\\System32", "/usr/lib/x86_64", "100%", "€5 £6 ¥7 ₹8 ₿9", "±×÷≠≤∞∑√∫", "←↑→↓⇒", "█▓▒░ ┌─┐", "αβγ∂x/∂y", "E=mc²", "H₂O",
    "\\frac{a}{b}", "x_{i+1}^2", "©®™ §¶", "\ue000\uf8ff", "\U000f0000\U0010fffd", "\ufdd0\ufffe\uffff", "\U0001fffe\U0010ffff", "\x00", "\x00\x01\x02", "\x7f", "\x1b[31mred\x1b[0m", "\ufffd\ufffd",
    "\u202eright to left\u202c", "soft\u00adhyphen", "zero\u200cwidth\u2060joiner", "\U0001d400\U0001d54f", "ﬀ ﬃ ﬆ", "ǅ ǈ ǋ", "İstanbul ıslak", "ẞ ß", "ᵃᵇᶜ ₐ", "Ａｂｃ１２３！",
]

CODE = [
    "def f(x: int) -> int:\n    return x * 2  # doubled\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n", "fn main() {\n    println!(\"{}\", 42);\n}", "const f = async (x) => await g(x?.y ?? 0);",
    "SELECT name, COUNT(*) FROM t WHERE x >= 10 GROUP BY 1;", "<div class=\"chart\"><img data-bbox=\"1 2 3 4\"/></div>", "{\"bbox_2d\": [12, 34, 567, 890], \"label\": \"cat\"}", "```json\n[\n\t{\"a\": 1},\n]\n```",
    "#include <vector>\r\n#define X(a) #a\r\n", "if [[ -z \"$x\" ]]; then echo 'no'; fi", "let rec go n = if n = 0 then [] else n :: go (n-1)", "main = putStrLn $ show [x^2 | x <- [1..10], odd x]",
    "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tfmt.Println(\"hi\")\n}\n", "public static void main(String[] args) { }", "(define (f x) (* x x))", ".L3:\n\tmovl\t%eax, -4(%rbp)\n", "\\begin{equation} x \\end{equation}",
    "key: value\nlist:\n  - a\n  - b\n", "[section]\nkey=value ; note\n", "diff --git a/x b/x\n@@ -1,2 +1,3 @@\n-old\n+new\n", "x<-c(1,2);y%in%x", "a&&b||!c", "i++ + ++i", "p->q.r::s", "<<<<<<< HEAD\n=======\n>>>>>>>",
    "%d %s %5.2f\\n", "regex: ^(?:[a-z]+|\\d{2,})$", "echo $((1+2)) `date`", "'''doc\nstring'''", "@decorator\nclass A(B): ...",
]

SPECIAL = [
    "<|im_start|>user\nhi<|im_end|>\n", "<|im_end|>", "a<|im_end|>b", "<|endoftext|>", "<|im_start|><|im_start|>", "<|vision_start|><|image_pad|><|vision_end|>What?", "<|video_pad|>", "<tool_call>\n{}\n</tool_call>",
    "<|im_end", "<|im_end|", "|im_end|>", "<|IM_END|>", "< |im_end|>", "<<|im_end|>>", "<|im_<|im_end|>end|>", "x <|im_end|> y", "x  <|im_end|>  y", "\n<|im_end|>\n\n<|im_end|>", "é<|im_end|>\u0301", "e<|im_end|>\u0301",
    "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>", "<|repo_name|>r<|file_sep|>f", "<tool_call", "</tool_call></tool_call>", "<think></think>",
    "it<|im_end|>'s", "1<|fim_pad|>2", " <|quad_start|> ", "<|vision_pad|>\u3000", "system\n<|im_start|> system", "<|endoftext|><|endoftext|><|endoftext|>", "<\uff5cim_end\uff5c>", "<|im_\u200bend|>",
]


def random_strings(rng):
    out = []
    tokens = ["<|im_start|>", "<|im_end|>", "<|image_pad|>", "<tool_call>"]
    pieces = [" ", "  ", "\n", "\r\n", "\t", "\u3000", "'s", "'LL", "a", "Zz", "é", "e\u0301", "\u0323", "7", "٣", "中", "한", "!", "—", "😀", "\u200d", "\ufe0f"] + tokens
    for _ in range(40):
        out.append("".join(rng.choice(pieces) for _ in range(rng.randint(3, 25))))
    for limit in (0x80, 0x800, 0x3100, 0x10000, 0x110000):
        for _ in range(8):
            points = (rng.randrange(limit) for _ in range(rng.randint(4, 24)))
            out.append("".join(chr(c) for c in points if not 0xD800 <= c < 0xE000))
    return out


def long_strings():
    return ["a" * 3000, "ab" * 1000, "\u4e2d" * 400, "!" * 1000, "1" * 100, "supercalifragilistic" * 40, "e\u0301\u0323" * 200, "x\n" * 300, "é" * 300, "ha" * 65, "z" * 64, "z" * 65, "q" * 66]


def all_strings():
    strings = [""]
    for sentences in SCRIPTS.values():
        strings += sentences
    strings += MARKS + EMOJI + SPACES + WORDS + CODE + SPECIAL + long_strings() + random_strings(random.Random(20250711))
    return list(dict.fromkeys(strings))
