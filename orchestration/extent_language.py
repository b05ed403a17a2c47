"""The words by which issues say how much there is to change: everything, one spot, several of a kind, which places.

Pure, no judgement: what follows from a word is `complexity_signals`. The patterns are made as in `issue_language`.
"""

from __future__ import annotations

import re

from .issue_language import Words

#: Everything of a kind that fills files: the whole project is the place.
WHOLE = Words(
    r"\b(?:throughout|all over|project-?wide|code ?base-?wide|repo(?:sitory)?-?wide|system-?wide|globally"
    r"|across (?:the |all |our |every |multiple |many |several )"
    r"|(?:whole|entire|complete) (?:code ?base|code|project|package|repo(?:sitory)?|site|website|docs|documentation"
    r"|library|application|app|source|tree|stack|system)"
    r"|(?:all|every|each)[* ]{1,3}(?:of )?(?:the |our |these |its |other |single )?(?:\w+ )?"
    r"(?:files?|modules?|pages?|packages?|services?|repos(?:itories)?|sub-?projects?|components?|back ?ends?|screens?"
    r"|dialogs|code|sources?|samples|source files?)"
    r"|(?:alle|sämtliche) (?:\w+ )?(?:dateien|module|seiten|pakete)|tou(?:s|tes) les (?:fichiers"
    r"|modules|pages)|tod[ao]s l[ao]s (?:archivos|ficheros|módulos|páginas)|во всех)\b"
    r"|所有(?:文件|页面|模块)|すべての(?:ファイル|ページ|モジュール)|全ての(?:ファイル|ページ|モジュール)",
)
#: Everything of a kind of which a file holds several, or every place where something is used.
EVERY = Words(
    r"\b(?:everywhere|wherever|anywhere|all (?:the )?(?:places|over)"
    r"|(?:all|every)[* ]{1,3}(?:of )?(?:the |our |these |its |other )?(?:\w+ )?(?:calls?|call ?sites?|callers?|uses?"
    r"|usages?|occurrences?|places?|commands?|sub-?commands?|class(?:es)?|functions?|methods?|views?"
    r"|endpoints?|routes?"
    r"|handlers?|templates?|imports?|exporters?|drivers?|implementations?|subclass(?:es)?|callbacks?)"
    r"|all (?:of )?(?:the |our |these |its |other )?(?:\w+ )?(?:tests|tables|plugins|models|forms|strings|messages"
    r"|examples|formats)"
    r"|überall|partout|ovunque|везде|en todas partes|alle|sämtliche|tous|toutes|todos|todas|tutti|tutte|все)\b"
    r"|所有|全部|すべて|全て|모든",
)
#: Work that goes through a system rather than to a place in it.
SWEEPING = Words(
    r"\b(?:re-?writ(?:e|ten|ing)|port(?:ing)? (?:\w+ ){0,3}(?:from|to)|migrat(?:e|es|ion|ing)|moderni[sz]\w+"
    r"|restructur\w+"
    r"|re-?organi[sz]\w+|re-?architect\w*|overhaul|re-?design\w*|(?:add|ship|write|complete|missing"
    r"|full) (?:\w+ ){0,2}(?:annotations|type hints|typing)|translat(?:e|ion|ions)"
    r"|internationali[sz]\w+|i18n|(?:usable|use) (?:\w+ )?as (?:a|an) (?:\w+ )?(?:library|module|package|service)"
    r"|pluggable|plug-?in (?:system|api|architecture)|async(?:hronous)? (?:api|version|twin|support)"
    r"|(?:drop|end|remov)(?:e|ing|ping)? (?:the )?(?:\w+ ){0,3}(?:support|compatib\w+)"
    r"|^drop (?:\w+ ){1,3}\d+(?:\.\d+)*$|^split \S|remov(?:e"
    r"|ing|al) .{0,40}deprecat\w*|(?:support"
    r"|compatibility) for python|python ?3 (?:support|only)"
    r"|switch(?:ing)? (?:\w+ ){0,4}(?:to|from)|split (?:\w+ ){0,4}into|extract (?:\w+ ){0,4}(?:package|library"
    r"|module|service)"
    r"|new (?:sub-?system|framework|back ?end|architecture)|multi-?tenan\w+|thread-?safe\w*)\b"
)
#: A change that sits in one spot.
SPOT = Words(
    r"\b(?:typo|typos|misspell(?:ed|ing)|spelling|one-?liner|(?<!on )(?<!in )(?:one|a single) line"
    r"|off by one|off-by-one|revert|(?:put|take|bring|roll) (?:\w+ ){1,3}back"
    r"|wrong \w+ in|right next to"
    r"|next to (?:it|that)|wrong (?:word|text|constant|name|heading|link|default|number|value|url|version)"
    r"|tippfehler|faute de frappe|erreur de frappe"
    r"|errata|error tipográfico|опечатк\w+)\b|错别字|誤字|タイポ"
)
#: A number in a file is raised.
BUMP = Words(
    r"\b(?:bump|raise|upgrade|update|pin|unpin|relax|release|require|increase|lower)\b.{0,80}?(?:\d+\.\d+"
    r"|\b(?:version|pin"
    r"|bound|requirement|dependency|constraint|timeout|limit|default)\b)"
)
#: A count of things to change.
COUNTED = Words(
    r"\b(both|two|three|four|five|six|seven|eight|nine|ten|a dozen|dozens of|hundreds of|\d{1,3})(?: of the"
    r"| of these)?"
    r"(?: \w+)? (files|pages|modules|documents|packages|repos|repositories|templates|exporters|back ?ends|renderers"
    r"|terminals|plugins|drivers|services|components|screens|formats|places|spots|views|endpoints|commands|classes"
    r"|methods|functions|handlers|tables|models|languages|platforms|scripts|clients|servers|brokers|parsers"
    r"|implementations)\b"
)
NUMBERS = {
    "both": 2,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
NUMBERS |= {"a dozen": 12, "dozens of": 12, "hundreds of": 12}
#: Of these several stand in one file.
_SMALL_THINGS_WORDS = """
    commands classes methods functions handlers views endpoints tables models places spots"""
SMALL_THINGS = frozenset(_SMALL_THINGS_WORDS.split())
#: Kinds of places beside the code itself, each of which is at least one more file.
SURFACES: dict[str, Words] = {
    "documentation": Words(
        r"\b(?:docs?|documentation|documented?|readme|manual|man ?page|guide|tutorial|quick ?start"
        r"|(?:section|chapter|paragraph)s? (?:in|about|on)|ought to (?:mention|explain)|(?:and|please) document"
        r"|reference(?: page)?"
        r"|how-?to|website"
        r"|dokumentation|anleitung|handbuch|documentaci[óo]n|gu[íi]a|documentação|documentazione|документац\w+)\b"
        r"|^document\b|文档|文檔|ドキュメント|マニュアル|문서",
    ),
    "public names": Words(
        r"\b(?:export(?:ed|s)? (?:\w+ ){0,3}from|importable from|(?:top|root) (?:level )?(?:of )?the (?:package"
        r"|library|module)"
        r"|public api|top-level (?:name|import|export)s?|__all__|`?__init__`?)\b"
    ),
    "packaging": Words(
        r"\b(?:setup\.py|pyproject|requires-python|classifiers?|package metadata|extras?_require|dependenc(?:y|ies)"
        r"|wheels?|packaging|py\.typed|build (?:script|file|system))\b"
    ),
    "continuous integration": Words(
        r"\b(?:ci|github actions|gitlab ci|travis|appveyor|(?:ci|github|release) workflows?|the workflows"
        r"|build matrix"
        r"|test matrix|pre-commit hooks?)\b"
    ),
    "template": Words(r"\btemplates?\b"),
    "configuration file": Words(
        r"\b(?:config(?:uration)? (?:files?|options?|keys?|schema)|settings? (?:files?|page|screen|schema)"
        r"|schema file)\b"
    ),
    "database": Words(r"\b(?:database schema|db schema|schema migration|migrations?|new (?:table|column|index))\b"),
    "shell completion": Words(r"\b(?:shell )?completions?\b"),
    "script": Words(r"\b(?:shell |helper |small |bash |build )script\b"),
    "user interface": Words(r"\b(?:front-?end|user interface|ui|stylesheets?|css)\b"),
    "server": Words(r"\b(?:http (?:api|header|listener)|rest api|web ?socket|daemon|server side|back-?end)\b"),
}
#: What goes with work of any kind. The others are what a fault, or a document, may be about without changing them.
BESIDES = frozenset({"documentation", "public names", "packaging", "continuous integration", "script"})
#: Different documents that one sentence may name side by side.
DOCUMENTS = Words(
    r"\b(?:readme|manual|man ?page|guide|tutorial|quick ?start|reference|website|page|wiki|faq|cookbook)s?\b"
)
#: An option of a command line, as inline code shows it.
OPTION = re.compile(r"(?:^|\s)--?[A-Za-z][\w-]*")
#: Words at which an enumeration of parts does not begin.
NOT_A_PART = Words(
    r"^(?:and|or|on|in|at|before|after|for|with|by|to|from|when|if|that|which|it|so|not|but|as|since|because"
    r"|while|then"
    r"|where|who|i|we|you|they|the later|also|only|even|please|e\.g|i\.e|good|less|however|though|otherwise|maybe"
    r"|linux|mac\w*"
    r"|windows|ubuntu|debian|fedora|python|pypy|chrome|firefox|safari|\d)\b"
)
#: The code is not to be touched.
NO_CODE = Words(
    r"\b(?:no code changes?|only (?:the )?(?:docs|documentation)|documentation only|docs only"
    r"|solo en la documentaci[óo]n"
    r"|nur (?:die )?dokumentation|uniquement la documentation|le code ne change pas|behaviou?r (?:is|stays) un\w+)\b"
)
#: The product itself, in an issue about tests.
PRODUCT = Words(
    r"\b(?:(?:own|product|production|source|library) code|product|implementation|internals?|code itself"
    r"|the library)\b"
)
#: Speed and memory: judged by measuring.
PERFORMANCE = Words(
    r"\b(?:slow(?:er|ly|ness)?|perf(?:ormance)?|overhead|faster|speed(?:s|up)?|latency|throughput|profil\w+"
    r"|memory usage"
    r"|leak\w*|takes (?:too )?(?:long|forever)|bottleneck|pays for)\b"
)
#: A new member of a family: a module of its own, and the place where the family is listed.
NEW_MEMBER = Words(
    r"\b(?:(?:new|another|add an?) (?:\w+ ){0,2}(?:exporter|back ?end|driver|reporter|provider|adapter"
    r"|sub-?command|command"
    r"|transport|broker|middleware|formatter|parser|serializer|renderer|loader|storage|integration|endpoint"
    r"|hook|check"
    r"|rule|widget|view)\b|add support for)|^\W*(?:export|support|exporter) for \w"
)
#: A variable of the environment, as inline code shows it.
VARIABLE = re.compile(r"\$?\{?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\}?\Z")
#: A name of the code, as inline code shows it: a function, a class, something dotted.
SYMBOL = re.compile(r"[A-Za-z_][\w.]*(?:\(.{0,80}\))?\Z", re.DOTALL)
#: A folder, as inline code shows it.
FOLDER = re.compile(r"(?:[\w.@-]+/)+\Z")
#: One file for each of several things.
FOR_EACH = Words(
    r"\b(?:one|an? own|a separate) (?:\w+ )?(?:modules?|files?|pages?|packages?|templates?|documents?)"
    r" (?:per|for each|for every|each)\b|\bfiles? of (?:their|its) own\b|\bmodules? of (?:their|its) own\b"
)
#: A part of a program that has to do something: named for what it does.
AGENT = Words(
    r"\b(?:the|both) ((?:\w+ )?\w{3,}(?:er|or))s?(?=(?: and (?:the )?(?:\w+ )?\w+(?:er|or)s?)?(?: both| each| also)?"
    r" (?:has to|have to|must|should|needs? to|learns?|becomes?|gets?)\b)"
    r"|(?<=er and )(?:the )?((?:\w+ )?\w{3,}(?:er|or))s?(?= (?:both |each |also )?(?:has to|have to|must"
    r"|should|needs? to))"
)
#: Words of that form which are none.
NO_AGENT = Words(
    r"(?:^| )(?:user|number|order|header|parameter|error|other|letter|author|character|developer|maintainer"
    r"|folder|paper"
    r"|answer|color|behaviou?r|color|operator|identifier|pointer|chapter|buffer|version|filter|latter|former|layer)$"
)
#: An enumeration behind it is of what has to change.
TOUCHES = Words(r"\b(?:touch(?:es)?|affects?|involves?|concerns?|spans?|betrifft|touche|afecta)\b")
#: One text in quotation marks, and the one that it should be.
MISSPELT = Words(
    r"[\"”’'»`] (?:should|is meant|must|has to) (?:be|read|say)|(?:says?|reads?) [\"“'`«].{0,60} (?:where|instead)"
)
_SAYING_NOTHING_WORDS = """
    app application broken bug bugs cleanup crash crashes customers doc docs documentation experience feature
    features help issue issues modernise modernize old optimization optimisation pain performance problems product
    program project quickly refactor refactoring rewrite sometimes software speed stable stability takes terrible
    test tests ui update upgrade usability users ux website worse yearly daily weekly monthly often since
    a about again all also always and any anything are asap bad be because been being best better bit bring but can
    clean cleaner code could current currently do does everything everywhere expected fast faster feel feels fix
    fixed for from general generally get good great has have how improve improved improvement improvements into
    issue it its just kind know like little look looks lot make makes making many maybe modern more much must need
    needed needs new nice nicer not nothing now off old one optimise optimize other our out over please possible
    problem proper properly quality really should slow some somehow someone something soon stuff such sure than that
    the their them there these they thing things this too use used using version very want was way well were what
    whatever when which whole will with work working works would wrong you your alles als auch auf aus bei besser
    bitte das dass dem den der des die ein eine einer eines für geht gut ist kann machen macht mehr mit nicht noch
    oder schnell schneller schön sehr sein sich sind soll sollte und von war was werden wie wird wir zum zur
    améliorer bien dans des est être faire fait les mais mieux par pas plus pour que qui rapide une bien como con
    del hacer los las más mejor mejorar muy para por que ser sin sobre todo una"""
#: Words that tell nothing by which one could see that something was done.
SAYING_NOTHING = frozenset(_SAYING_NOTHING_WORDS.split())
