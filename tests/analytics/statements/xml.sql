SELECT xmlelement(NAME dealer, xmlattributes(d.id AS id, d.city), xmlelement(NAME name, d.name)) AS x FROM ref.dealers d ORDER BY d.id;

SELECT xmlforest(d.id, d.name AS label) AS x FROM ref.dealers d ORDER BY d.id;

SELECT xmlagg(xmlelement(NAME d, name) ORDER BY id) AS x FROM ref.dealers;

SELECT xmlserialize(CONTENT xmlelement(NAME d, name) AS text) AS x FROM ref.dealers ORDER BY id;

SELECT xmlconcat('<a/>'::xml, xmlcomment('x'), xmlpi(NAME php, 'echo')) AS x, xmlparse(DOCUMENT '<a>1</a>') AS d, xmlparse(CONTENT 'a' PRESERVE WHITESPACE) AS c;

SELECT xmlroot(xmlparse(DOCUMENT '<a/>'), VERSION '1.0', STANDALONE YES) AS r, '<a/>'::xml IS DOCUMENT AS d, xmlserialize(DOCUMENT '<a><b/></a>'::xml AS varchar(40) INDENT) AS s;

SELECT xpath('/a/text()', '<a>1</a>')::text AS p, xpath_exists('/a', '<a/>') AS e, xml_is_well_formed('<a>') AS w, xmlexists('/a' PASSING BY VALUE '<a/>') AS x;

SELECT x.* FROM XMLTABLE('/r/d' PASSING '<r><d id="1">A</d><d id="2">B</d></r>'::xml COLUMNS n FOR ORDINALITY, id int PATH '@id', name text PATH '.', other text PATH 'o' DEFAULT 'none') AS x ORDER BY n;
