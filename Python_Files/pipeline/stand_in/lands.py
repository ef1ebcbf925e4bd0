"""The 21 nationalities: names in their own scripts, places, and the forms of their numbers.

In a form ``#`` is a digit, ``@`` a capital letter, ``{d}`` ``{m}`` ``{y}`` the day, month and year of birth.
A name whose script is not Latin has its Latin spelling behind a ``=``, for the e-mail address. Some oddities stand here
on purpose, because the real service has them and a pipeline must live with them: apostrophes, streets that begin or
end with a space, a quoted city, Persian zero-width non-joiners, Finnish numbers that are no numbers.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

_LETTERS = str.maketrans(
    {"ø": "o", "Ø": "o", "æ": "ae", "Æ": "ae", "ß": "ss", "ı": "i", "đ": "dj", "Đ": "dj", "ð": "d", "ł": "l"}
)


class Named(NamedTuple):
    """A name and how it is spelt in an e-mail address."""

    text: str
    latin: str


class Land(NamedTuple):
    """What a nationality's people are made of."""

    country: str
    men: tuple[Named, ...]
    women: tuple[Named, ...]
    last: tuple[Named, ...]
    streets: tuple[str, ...]
    cities: tuple[str, ...]
    states: tuple[str, ...]
    postcode: str | tuple[int, int]  # a form, or the least and the greatest number
    phone: str
    cell: str
    id_name: str
    id_form: str
    mister: str
    misses: tuple[str, ...]


def _latin(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(letter for letter in plain if letter.isalnum() or letter == "'").lower()


def _names(text: str) -> tuple[Named, ...]:
    found = []
    for part in text.split("|"):
        name, _, latin = part.partition("=")
        found.append(Named(name, latin or _latin(name)))
    return tuple(found)


def _land(
    country: str,
    *,
    men: str,
    women: str,
    last: str,
    streets: str,
    cities: str,
    states: str,
    postcode: str | tuple[int, int],
    phone: str,
    cell: str,
    id: str = "",
    titles: str = "Mr|Miss|Mrs|Ms",
) -> Land:
    id_name, _, id_form = id.partition(" ")
    mister, *misses = titles.split("|")
    return Land(
        country=country,
        men=_names(men),
        women=_names(women),
        last=_names(last),
        streets=tuple(streets.split("|")),
        cities=tuple(cities.split("|")),
        states=tuple(states.split("|")),
        postcode=postcode,
        phone=phone,
        cell=cell,
        id_name=id_name,
        id_form=id_form,
        mister=mister,
        misses=tuple(misses),
    )


LANDS: dict[str, Land] = {
    "AU": _land(
        "Australia",
        men="Jack|Lachlan|Cooper|Angus|Hamish|Bruce|Darcy|Kieran|Mitchell|Toby|Wayne|Callum",
        women="Matilda|Charlotte|Sienna|Imogen|Kylie|Tahlia|Georgia|Bronte|Sheila|Poppy|Jacinta|Ruby",
        last="Kelly|O'Brien|Campbell|Murray|Nguyen|Hartley|Barker|Doyle|Whitlam|Lawson|Paterson|Flinders|Walsh",
        streets="Banksia Street|Wattle Grove|Eucalypt Road|Kookaburra Lane|Harbour Parade|Lawson Terrace|Mallee Court",
        cities="Ballarat|Bendigo|Cairns|Hobart|Mildura|Perth|Toowoomba|Wollongong|Geelong|Albany",
        states="Victoria|Queensland|Tasmania|New South Wales|Western Australia|South Australia|Northern Territory",
        postcode=(200, 9999),
        phone="0#-####-####",
        cell="04##-###-###",
        id="TFN #########",
    ),
    "BR": _land(
        "Brazil",
        men="João|Antônio|José|Caetano|Otávio|Vinícius|Mário|Rogério|Davi|Anísio|Tarcísio|Heitor",
        women="Conceição|Luíza|Antônia|Lívia|Júlia|Mônica|Cecília|Íris|Beatriz|Graça|Inês|Yasmin",
        last="da Conceição|Araújo|Gonçalves|Moraes|Sant'Anna|Magalhães|Peçanha|Simões|Guimarães|Teixeira|Falcão",
        streets="Rua das Acácias|Rua do Ipê |Avenida Beira-Mar|Travessa São João|Rua Sete de Abril|Rua d'Oeste ",
        cities="São Luís|Belém|Maringá|Niterói|Florianópolis|Santa Bárbara d'Oeste|Cuiabá|Maceió|Olinda",
        states="Maranhão|Pará|Paraná|Rio de Janeiro|Santa Catarina|Goiás|Bahia|Amapá",
        postcode=(10000, 99999),
        phone="(##) ####-####",
        cell="(##) ####-####",
        id="CPF ###.###.###-##",
    ),
    "CA": _land(
        "Canada",
        men="Étienne|Gordon|Liam|Olivier|Mathis|Dustin|Graham|Félix|Logan|Raphaël|Wyatt|Tristan",
        women="Élodie|Heather|Maëlle|Brooke|Noémie|Shannon|Zoé|Paige|Océane|Mackenzie|Rosalie|Avery",
        last="Tremblay|Gagnon|MacDonald|Bouchard|Côté|Singh|Fraser|Bélanger|O'Neill|Lévesque|Sinclair|Roy",
        streets="Maple Ave|Chemin du Lac|Dufferin St|Rue Saint-Jean|Portage Rd|Rideau St|Balsam Cres",
        cities="Moose Jaw|Trois-Rivières|Kelowna|Halifax|Val-d'Or|Thunder Bay|St. John's|Whitehorse|Saguenay",
        states="Québec|Ontario|British Columbia|Nova Scotia|Yukon|Saskatchewan|Alberta|Nunavut",
        postcode="@#@ #@#",
        phone="@## @##-####",
        cell="@## @##-####",
        id="SIN #########",
    ),
    "CH": _land(
        "Switzerland",
        men="Urs|Beat|Reto|Jürg|Luca|Gian|Étienne|Matteo|Ruedi|Köbi|Fabio|Noël",
        women="Vreni|Heidi|Chiara|Aline|Margrit|Ladina|Solène|Käthi|Ursina|Noémie|Regula|Giulia",
        last="Zürcher|Ammann|Bühler|Favre|Bernasconi|Caduff|Rochat|Wüthrich|Nägeli|Piguet|Gerber|Lüthi",
        streets="Bahnhofstrasse|Rue du Rhône|Via Nassa|Seeweg|Chemin des Vignes|Kirchgasse|Place d'Armes",
        cities="Bülach|Delémont|Küsnacht|La Chaux-de-Fonds|Locarno|Wädenswil|Yverdon|Scuol|Neuchâtel (Ne)",
        states="Zürich|Genève|Graubünden|Neuchâtel|Ticino|Uri|Valais|Appenzell Innerrhoden",
        postcode=(1000, 9999),
        phone="07# ### ## ##",
        cell="07# ### ## ##",
        id="AVS 756.####.####.##",
        titles="Monsieur|Mademoiselle|Madame",
    ),
    "DE": _land(
        "Germany",
        men="Jürgen|Björn|Götz|Lothar|Günther|Malte|Ömer|Torsten|Valentin|Jörg|Hannes|Florian",
        women="Käthe|Bärbel|Greta|Rosemarie|Jördis|Wiebke|Frauke|Annegret|Grit|Änne|Lieselotte|Mareike",
        last="Müller|Schröder|Weiß|Groß|Köhler|Jäger|Strauß|Krämer|Böhm|Vögele|Zöllner|Hübsch",
        streets="Lindenallee|Am Mühlgraben|Schloßstraße|Birkenweg|Goethestraße|An der Brücke|Fährgasse",
        cities="Görlitz|Lübeck|Würzburg|Gießen|Bad Tölz|Güstrow|Osnabrück|Plön|Weimar",
        states="Thüringen|Baden-Württemberg|Sachsen|Hessen|Schleswig-Holstein|Bremen|Saarland",
        postcode=(10000, 99999),
        phone="0###-#######",
        cell="017#-#######",
        id="SVNR ## {d}{m}{y} @ ###",
    ),
    "DK": _land(
        "Denmark",
        men="Søren|Jørgen|Asger|Bjørn|Mads|Troels|Rasmus|Aksel|Jeppe|Kjeld|Øjvind|Malthe",
        women="Åse|Kirstine|Mette|Signe|Bodil|Astrid|Maja|Solvej|Dagny|Lærke|Sofie|Karen",
        last="Sørensen|Møller|Nørgaard|Kjær|Østergaard|Bækgård|Holm|Damgaard|Skov|Krogh|Lindegård|Ravn",
        streets="Nørregade|Ålborgvej|Strandvejen|Møllebakken|Søndergade|Æblehaven|Kirkestræde",
        cities="Ærøskøbing|Tønder|Skælskør|København Ø|Rønne|Hjørring|Køge|Århus C.|Ribe",
        states="Sjælland|Midtjylland|Nordjylland|Syddanmark|Hovedstaden",
        postcode=(10000, 99999),
        phone="########",
        cell="########",
        id="CPR {d}{m}{y}-####",
    ),
    "ES": _land(
        "Spain",
        men="Íñigo|Álvaro|Joaquín|Ramón|Andrés|Eloy|Gaspar|Germán|Rubén|Óscar|Nicolás|Martín",
        women="Begoña|Rocío|Lucía|Inés|Montserrat|Pilar|Nuria|Aránzazu|Concepción|Sofía|Mireia|Estíbaliz",
        last="Núñez|Ibáñez|Castaño|Muñoz|Zúñiga|Peña|Gálvez|Cañas|Bermúdez|Otero|D'Ors|Yáñez",
        streets="Calle Mayor|Paseo de la Alameda|Plaza del Olmo|Calle de la Niña|Ronda del Río|Avenida de España",
        cities="La Coruña|Cádiz|Logroño|L'Hospitalet|Mérida|Málaga|Ávila|San Sebastián|Jaén",
        states="Andalucía|Aragón|Cataluña|Castilla y León|País Vasco|Melilla|Extremadura",
        postcode=(10000, 99999),
        phone="9##-###-###",
        cell="6##-###-###",
        id="DNI ########-@",
    ),
    "FI": _land(
        "Finland",
        men="Väinö|Eetu|Juhani|Onni|Ilmari|Pyry|Jyrki|Tapio|Veikko|Urho|Kalevi|Antti",
        women="Aino|Päivi|Kyllikki|Sanni|Hilkka|Tuuli|Säde|Mirjami|Venla|Elina|Lyyti|Helmi",
        last="Mäkelä|Hämäläinen|Koskinen|Järvi|Pöysti|Lehtonen|Saarinen|Ylönen|Rantanen|Äijälä|Nieminen|Salo",
        streets="Hämeenkatu|Pyynikintie|Koivukuja|Mannerheimintie|Satamatie|Yläkatu|Myllypuro",
        cities="Jyväskylä|Hyvinkää|Kuopio|Porvoo|Rovaniemi|Seinäjoki|Äänekoski|Turku|Savonlinna",
        states="Pirkanmaa|Kainuu|Pohjanmaa|Satakunta|Uusimaa|Etelä-Savo",
        postcode=(10000, 99999),
        phone="0#-###-###",
        cell="04#-###-##-##",
        id="HETU NaNNA###undefined",
    ),
    "FR": _land(
        "France",
        men="François|Rémi|Théo|Gaël|Jérôme|Loïc|Aurélien|Timéo|Maël|Benoît|Raphaël|Côme",
        women="Zoé|Anaïs|Clémence|Maëva|Noëlle|Léonie|Eléna|Aurélie|Joséphine|Agnès|Cléa|Victoire",
        last="Lefèvre|d'Aubigné|L'Hermitte|Gérard|Besançon|Chauvière|Béranger|Mallet|Le Gall|Guérin|Coulon|Noël",
        streets="Rue de l'Église|Quai d'Orléans|Rue du Château|Allée des Tilleuls|Boulevard Carnot|Cours d'Alsace",
        cities="Besançon|Nîmes|Saint-Étienne|Angoulême|Cap-d'Ail|Orléans|Béziers|Villeneuve-d'Ascq|Vannes",
        states="Finistère|Côte-d'Or|Hérault|Val-d'Oise|Lozère|Ardèche|Haute-Saône",
        postcode=(10000, 99999),
        phone="0#-##-##-##-##",
        cell="06-##-##-##-##",
        id="INSEE 1{y}{m}######## ##",
    ),
    "GB": _land(
        "United Kingdom",
        men="Alistair|Rhys|Nigel|Gethin|Rory|Clive|Edmund|Hugh|Fergus|Owain|Percy|Barnaby",
        women="Siân|Fiona|Gwyneth|Beatrix|Morag|Philippa|Nerys|Tamsin|Harriet|Rhiannon|Edith|Zara",
        last="O'Hara|Pritchard|MacLeod|Thistlethwaite|Llewellyn|Ashworth|Fairfax|Drummond|Baxter|Penrose|Shaw",
        streets="King's Road|Mill Lane|Church Row|Castle Street|Queensway|St. Mary's Close|The Shambles",
        cities="Bishop's Stortford|Inverness|Llandudno|Derry|Kirkcaldy|Penzance|Whitby|Stoke-on-Trent|Truro",
        states="Highlands and Islands|Gwynedd|County Fermanagh|Norfolk|Cornwall|Tyne and Wear|Fife",
        postcode="@@## #@@",
        phone="01#### #####",
        cell="07### ######",
        id="NINO @@ ## ## ## @",
    ),
    "IE": _land(
        "Ireland",
        men="Séamus|Pádraig|Cillian|Eoghan|Tadhg|Diarmuid|Oisín|Fionn|Ruairí|Declan|Cormac|Niall",
        women="Aoife|Róisín|Siobhán|Gráinne|Caoimhe|Niamh|Sinéad|Bríd|Orla|Éabha|Saoirse|Maeve",
        last="O'Sullivan|Ó Briain|Nic Dhonncha|O'Callaghan|Brennan|McGrath|O'Dowd|Kavanagh|Tierney|Keogh",
        streets="Patrick's Quay|Shannon View|Abbey Street|Grafton Row|O'Connell Street|The Claddagh|Bóthar Mór",
        cities="Dún Laoghaire|Galway|Sligo|Ennis|Tralee|Kinsale|Drogheda|Bray|An Spidéal",
        states="Galway City|Kerry|Donegal|Wicklow|Mayo|Leitrim|Cork",
        postcode=(10000, 99999),
        phone="0#1-###-####",
        cell="081-###-####",
        id="PPS #######T",
    ),
    "IN": _land(
        "India",
        men="अर्जुन=arjun|विक्रम=vikram|रोहन=rohan|संजय=sanjay|अमित=amit|कृष्ण=krishna|राजेश=rajesh|देव=dev|मोहन=mohan|सूर्य=surya",
        women="प्रिया=priya|अनन्या=ananya|लक्ष्मी=lakshmi|दीपिका=deepika|मीरा=meera|कविता=kavita|सीता=sita|राधा=radha|नेहा=neha|पूजा=pooja",
        last="शर्मा=sharma|गुप्ता=gupta|सिंह=singh|पटेल=patel|मिश्र=mishra|जोशी=joshi|वर्मा=varma|राव=rao|मेहता=mehta|चौहान=chauhan",
        streets="गांधी मार्ग|मंदिर पथ|स्टेशन रोड|नेहरू नगर|चाँदनी चौक|लाल बाग| कमल कुंज",
        cities="जयपुर|वाराणसी|पुणे|लखनऊ|इन्दौर|उदयपुर|नागपुर|मथुरा",
        states="राजस्थान|उत्तर प्रदेश|महाराष्ट्र|मध्य प्रदेश|बिहार|गुजरात",
        postcode=(10000, 99999),
        phone="7#########",
        cell="9#########",
        id="UIDAI ############",
    ),
    "IR": _land(
        "Iran",
        men="علی‌رضا=alyrda|محمدحسین=mhmdhsyn|امیرعلی=amyraaly|سینا=syna|بهرام=bhram|کیان=khyan|پارسا=prsa|رضا=rda|آرش=arsh|مهدی=mhdy",
        women="زهرا=zhra|نازنین=nazny|پریسا=prysa|گل‌نار=gl-nar|شیرین=shyryn|الهه=alhh|مهسا=mhsa|یاسمین=yasmyn|ستاره=starh|آوا=awa",
        last="حسینی=hsyny|کریمی=khrymy|رضایی=rdyy|مهدی‌پور=mhdypwr|نوری‌زاده=nwryzadh|یوسفی=ywsfy|قاسمی=qsmy|صادقی=sdqy|پناهی=pnahy",
        streets="خیابان ولی‌عصر|میدان انقلاب|شهید رجایی|بلوار کشاورز|کوچهٔ بهار|سی‌وسه پل|امام رضا ",
        cities="خمینی‌شهر|شیراز|اصفهان|تبریز|ورامین|نجف‌آباد|کرمان|رشت|اسلام‌شهر",
        states="آذربایجان شرقی|گیلان|فارس|خراسان رضوی|کهگیلویه و بویراحمد|یزد",
        postcode=(10000, 99999),
        phone="0##-########",
        cell="09##-###-####",
    ),
    "MX": _land(
        "Mexico",
        men="Jesús|Moisés|Tomás|Ángel|Hilario|Efraín|Cuauhtémoc|Raúl|Isaías|Benito|Octavio|Simón",
        women="Guadalupe|Xóchitl|María José|Ximena|Itzel|Dolores|Citlali|Frida|Araceli|Jimena|Lourdes|Belén",
        last="Hernández|Ordóñez|Chávez|Treviño|Galván|Ríos|Quiñones|Zárate|de la Cruz|Madrigal|Ávila|Huerta",
        streets="Calzada del Sol|Privada Jacarandas|Avenida Juárez|Callejón del Águila|Circuito Norte|Eje Vial Peña",
        cities='Mérida|Tuxtla Gutiérrez|San Luis Potosí|Cancún|Pátzcuaro|La ""d""Orilla|Tepoztlán|León|Zacatecas',
        states="Oaxaca|Michoacán de Ocampo|Nuevo León|Yucatán|Chiapas|Baja California|Querétaro",
        postcode=(10000, 99999),
        phone="(6##) ### ####",
        cell="(6##) ### ####",
        id="NSS ## ## ## #### #",
    ),
    "NL": _land(
        "Netherlands",
        men="Daniël|Sjoerd|Joost|Gijs|Bram|Jurriën|Teun|Ruben|Wouter|Maarten|Thijs|Floris",
        women="Fenna|Loïs|Marijke|Sanne|Noor|Femke|Anouk|Chloë|Roos|Tessa|Willemijn|Hanneke",
        last="van 't Hoff|de Wit|Van der Meer|Hoekstra|'t Lam|Zeeman|Ter Horst|Bakker|van Rijn|Vermeulen|Ruïter",
        streets="'t Zand|Prinsengracht|Dorpsstraat|Molenweg|Kerkplein|Kasteellaan|IJsselkade",
        cities="'s-Hertogenbosch|Hengelo|IJmuiden|Oude Pekela|'t Harde|Goes|Zwolle|Den Helder|Coevorden",
        states="Fryslân|Zeeland|Overijssel|Utrecht|Groningen|Gelderland|Flevoland",
        postcode=(10000, 99999),
        phone="(###)-###-####",
        cell="(###)-###-####",
        id="BSN ########",
    ),
    "NO": _land(
        "Norway",
        men="Håkon|Øystein|Bjørnar|Sindre|Åge|Eirik|Trygve|Leif|Sverre|Jørn|Håvard|Magnus",
        women="Ingrid|Solveig|Åshild|Ragnhild|Gro|Marit|Turid|Sigrid|Frøydis|Bjørg|Synnøve|Tiril",
        last="Bjørnstad|Ødegård|Lie|Haugen|Håland|Nygård|Sæther|Fjeld|Strøm|Myhre|Tveit|Åsen",
        streets="Fjordgata|Skogveien|Bjørkelia|Øvre Slottsgate|Havnegata|Kirkeveien|Tårnåsen",
        cities="Tromsø|Bodø|Ålesund|Hønefoss|Lillehammer|Florø|Vadsø|Mosjøen|Å",
        states="Troms og Finnmark - Romsa ja Finnmárku|Rogaland|Møre og Romsdal|Vestland|Trøndelag|Oslo",
        postcode="####",
        phone="########",
        cell="9#######",
        id="FN {d}{m}{y}#####",
    ),
    "NZ": _land(
        "New Zealand",
        men="Tāne|Wiremu|Blake|Caleb|Manaia|Nikau|Hunter|Rāwiri|Zachary|Fletcher|Tama|Ethan",
        women="Aroha|Maia|Ngaio|Kiri|Brooklyn|Tui|Hana|Anahera|Willow|Eden|Marama|Tilly",
        last="Ngata|Te Kanawa|Walker|Parata|Cooper|Wilson|Tūhoe|Morris|Henare|Singh|Hughes|O'Rourke",
        streets="Rātā Street|Pōhutukawa Drive|Ponsonby Road|Kererū Place|Harbour View|Tui Crescent|Mānuka Way",
        cities="Whangārei|Taupō|Nelson|Ōamaru|Invercargill|Whakatāne|Gisborne|Hāwera|Dunedin",
        states="Otago|Waikato|Hawke's Bay|Southland|Taranaki|Bay of Plenty|West Coast",
        postcode=(10000, 99999),
        phone="(###)-###-####",
        cell="(###)-###-####",
    ),
    "RS": _land(
        "Serbia",
        men="Đorđe|Miloš|Željko|Nemanja|Siniša|Stevan|Goran|Uroš|Vuk|Dragan|Božidar|Nikola",
        women="Ljiljana|Živka|Dušanka|Snežana|Milica|Đurđina|Anđela|Vesna|Zorica|Jovana|Bojana|Radmila",
        last="Jovanović|Đukić|Živković|Petrović|Čolić|Šarenac|Obrenović|Ćirić|Nikolić|Stojković|Žugić|Karadžić",
        streets="Kneza Miloša|Bulevar oslobođenja|Vuka Karadžića|Njegoševa|Dunavski kej|Cara Dušana |Šumadijska",
        cities="Čačak|Niš|Šabac|Užice|Požarevac|Vršac|Kruševac|Sremski Karlovci|Loznica",
        states="Mačva|Šumadija|Južna Bačka|Toplica|Pčinja|Zlatibor|Rasina",
        postcode=(10000, 99999),
        phone="0##-####-###",
        cell="06#-####-###",
        id="SID #########",
    ),
    "TR": _land(
        "Turkey",
        men="Çağlar|Ömer|Gökhan|Şükrü|Yiğit|Ilgaz|Barış|Doğan|Kağan|İlker|Uğur|Emre",
        women="Ayşe|Gülşen|Çiğdem|Işıl|Özge|Nilüfer|Şebnem|Tuğçe|Buğlem|İpek|Ümmühan|Sude",
        last="Yıldırım|Öztürk|Şahin|Çelik|Kılıç|Güneş|Doğruyol|Ağaoğlu|İnce|Bozkır|Karakaş|Tuğlu",
        streets="Atatürk Sk|Bağdat Cd|Çamlıca Sk|Fevzi Çakmak Cd|Gül Sk|İnönü Cd|Kızılay Cd",
        cities="Eskişehir|Çanakkale|Iğdır|Muğla|Şanlıurfa|Kırklareli|Düzce|Gümüşhane|Balıkesir",
        states="Ağrı|Diyarbakır|Kütahya|İzmir|Şırnak|Uşak|Çorum",
        postcode=(10000, 99999),
        phone="(###)-###-####",
        cell="(###)-###-####",
    ),
    "UA": _land(
        "Ukraine",
        men="Мар'ян=mar'yan|Тарас=taras|Богдан=bogdan|Лук'ян=luk'yan|Святослав=svyatoslav|Юрій=yuriy|Ярема=yarema|Остап=ostap|Їжак=yizhak",
        women="Дар'я=dar'ya|Оксана=oksana|Соломія=solomiya|Зоряна=zoryana|Мар'яна=mar'yana|Ганна=ganna|Леся=lesya|Євгенія=yevgeniya",
        last="Шевченко=shevchenko|В'юненко=v'yunenko|Косач=kosach|Гулак=gulak|Сковорода=skovoroda|Лук'яненко=luk'yanenko|Їжакевич=yizhakevich",
        streets="Хрещатик|Вулиця Сім'ї Хохлових|Проспект Миру|Садова|Площа Ринок| Набережна|Солов'яненка",
        cities="Кам'янець-Подільський|Львів|Чернівці|Прип'ять|Полтава|Ужгород|Слов'янськ|Умань",
        states="Київська|Івано-Франківська|Харківська|Одеська|Волинська|Черкаська",
        postcode=(10000, 99999),
        phone="(0##) @##-####",
        cell="(09#) @##-####",
    ),
    "US": _land(
        "United States",
        men="Chester|Marcus|Diego|Tyrone|Wesley|Curtis|Dwight|Javier|Elmer|Brandon|Terrence|Clyde",
        women="Latoya|Peggy|Savannah|Dolores|Brittany|Rosa|Marlene|Tiffany|Yolanda|Crystal|Bernice|Kaylee",
        last="Washington|O'Connor|Ramirez|Jefferson|Hopkins|Nguyen|Bradley|Castillo|Mcallister|Perkins|Dunn|Young",
        streets="Cottonwood Dr|Elm St|Mulberry Ln|Sunset Blvd|Lincoln Ave|Prairie View Rd|Lover's Ln|Depot St",
        cities="Coeur d'Alene|Boise|Tulsa|Des Moines|Albuquerque|Savannah|Duluth|El Paso|Worcester",
        states="Idaho|Oregon|New Mexico|Massachusetts|Georgia|Minnesota|Hawaii|Vermont",
        postcode=(10000, 99999),
        phone="(###) ###-####",
        cell="(###) ###-####",
        id="SSN ###-##-####",
    ),
}
