"""The vocabulary of the generated world.

Before: nothing.   After: documents.py, screens.py and scenes.py compose texts and labels from it.
"""

ENGLISH = (
    "able above add after again air all also and animal answer apple area arm ask autumn away "
    "back bag ball bank bar base basket bath bean bear beach bed bell below best bird black blue "
    "boat body book both bottle bottom bowl box boy branch bread bridge bright brother brown "
    "brush build bus butter button cake call camera camp candle car card carry castle cat chair "
    "change cheese chicken child choose circle city class clean clear clock close cloud coat "
    "coffee cold colour come cook copper copy corn corner count country cover cow cream cross "
    "cup curtain cut dance dark daughter day deep desk dinner dog door double down draw dream "
    "dress drink drive dry duck each ear early earth east easy egg eight empty end engine enter "
    "equal evening every eye face fall family farm fast father field find finger fire first fish "
    "five flat floor flower fly follow food foot forest fork four free fresh friend front fruit "
    "full game garden gate give glass gold good grass great green ground group grow guide hair "
    "half hall hand happy harbour hard hat head heart heavy help here high hill hold holiday "
    "home honey horse hospital hot hotel hour house ice inside island jacket join juice jump "
    "keep kettle key kind king kitchen knee knife know ladder lake lamp land large last late "
    "leaf learn left leg lemon letter level library light line lion list little long look low "
    "lunch machine make map market match meal measure meat meet metal middle milk minute mirror "
    "money month moon morning mother mountain mouse mouth move museum music name narrow near "
    "neck needle new night nine north nose note number nurse oak ocean office oil old one open "
    "orange order oven over page paint pan paper park part path pay pen pencil people pepper "
    "phone piano picture pig pink place plain plane plant plate play pocket point pool potato "
    "press price purple push quick quiet quite radio rain read ready red rest rice right ring "
    "river road rock roof room rope rose round run safe salt sand school sea season seat second "
    "seed seven shadow shape sheep shelf ship shirt shoe shop short shoulder silver simple "
    "sister six skin sky sleep slow small snow soap sock soft sound soup south spoon spring "
    "square stair stamp star start station stone store storm story street strong sugar summer "
    "sun sweet swim table tall tea teacher ten tent ticket tiger time together tomato tool tooth "
    "top tower town train travel tree true two umbrella under valley village voice wait walk "
    "wall warm wash watch water week west wheel white wide wind window wine winter wood wool "
    "word work world yellow young zebra zero"
).split()
NAMES = (
    "Anna Ben Carla David Elena Frank Grace Hugo Irene James Karen Louis Maria Nina Oscar "
    "Paula Quinn Robert Sofia Tom Ursula Victor Wendy Xenia Yann Zoe"
).split()
SURNAMES = (
    "Adams Baker Clark Diaz Evans Fischer Green Hill Ivanov Jones King Lopez Moreau Novak Olsen "
    "Park Reed Smith Turner Weber Young"
).split()
CITIES = (
    "Berlin Bern Boston Cairo Delhi Dublin Lima Lisbon London Madrid Oslo Paris Rome Tokyo Vienna"
).split()
STREETS = "Bridge Castle Garden Harbour Hill Lake Market Mill North Oak Park River Station".split()
COMPANY_ENDS = "Store Market Bakery Cafe Books Garden Hotel Tools Foods Shop".split()

CHINESE = (
    "你好 中国 北京 上海 今天 明天 时间 日期 名称 价格 数量 金额 合计 姓名 电话 地址 公司 商店 学校 "
    "水果 苹果 牛奶 面包 咖啡 茶叶 米饭 鸡蛋 大小 上下 左右 开门 关门 入口 出口 小心 安全 欢迎 谢谢 "
    "天气 春天 夏天 秋天 冬天 太阳 月亮 星期 生日 快乐 朋友 老师 学生 火车 汽车 飞机 车站 城市 公园 "
    "山水 花草 红色 蓝色 绿色 黄色 设置 返回 搜索 保存"
).split()
CHINESE_SURNAMES = "王李张刘陈杨黄赵周"
CHINESE_GIVEN = "明红小花天安春山月星"
CHINESE_CITIES = ("北京", "上海", "天津", "南京", "广州")

# English name, Chinese name, colour.
COLOURS = (
    ("red", "红色", (214, 40, 40)),
    ("orange", "橙色", (245, 140, 20)),
    ("yellow", "黄色", (240, 215, 30)),
    ("green", "绿色", (40, 160, 70)),
    ("blue", "蓝色", (40, 90, 210)),
    ("purple", "紫色", (140, 60, 180)),
    ("black", "黑色", (25, 25, 25)),
    ("gray", "灰色", (140, 140, 140)),
)
# English singular, English plural, Chinese, Chinese measure word.
SHAPES = (
    ("circle", "circles", "圆形", "个"),
    ("square", "squares", "正方形", "个"),
    ("triangle", "triangles", "三角形", "个"),
    ("star", "stars", "星形", "个"),
    ("heart", "hearts", "心形", "个"),
    ("cross", "crosses", "十字", "个"),
    ("house", "houses", "房子", "座"),
    ("tree", "trees", "树", "棵"),
    ("car", "cars", "汽车", "辆"),
    ("cup", "cups", "杯子", "个"),
    ("fish", "fish", "鱼", "条"),
)


def word(rng):
    """An English word in one of three spellings."""
    text = rng.choice(ENGLISH)
    style = rng.random()
    return text if style < 0.6 else text.capitalize() if style < 0.95 else text.upper()


def number(rng):
    return str(rng.randrange(10 ** rng.randint(1, 4)))


def amount(rng):
    return f"{rng.randrange(1, 10 ** rng.randint(1, 3))}.{rng.randrange(100):02d}"


def date(rng):
    year, month, day = rng.randint(2015, 2029), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice((f"{year}-{month:02d}-{day:02d}", f"{day:02d}/{month:02d}/{year}"))


def code(rng):
    """Letters and digits that no language model can guess."""
    letters = "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(rng.randint(1, 3)))
    return f"{letters}-{rng.randrange(10 ** rng.randint(2, 4))}"


def phone(rng):
    return f"{rng.randrange(100, 1000)}-{rng.randrange(1000, 10000)}"


def person(rng):
    return f"{rng.choice(NAMES)} {rng.choice(SURNAMES)}"


def address(rng):
    return f"{rng.randint(1, 99)} {rng.choice(STREETS)} Street"


def company(rng):
    return f"{rng.choice(SURNAMES)} {rng.choice(COMPANY_ENDS)}"


def chinese_person(rng):
    given = "".join(rng.choice(CHINESE_GIVEN) for _ in range(rng.randint(1, 2)))
    return rng.choice(CHINESE_SURNAMES) + given


def english_piece(rng):
    return rng.choices((word, number, amount, date, code), (10, 2, 2, 1, 1))[0](rng)


def english_line(rng, longest):
    """A line of at most `longest` characters."""
    line = english_piece(rng)
    while rng.random() < 0.65:
        longer = f"{line} {english_piece(rng)}"
        if len(longer) > longest:
            break
        line = longer
    return line


def chinese_line(rng, longest):
    """A Chinese line of at most about `longest` half-width characters."""
    line = rng.choice(CHINESE)
    while rng.random() < 0.6 and 2 * len(line) + 4 <= longest:
        line += rng.choice(CHINESE) if rng.random() < 0.8 else number(rng)
    return line
