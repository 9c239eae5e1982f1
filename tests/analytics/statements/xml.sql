SELECT xmlelement(NAME dealer, xmlattributes(d.id AS id, d.city), xmlelement(NAME name, d.name)) AS x FROM ref.dealers d ORDER BY d.id;
-- fails with 0A000

SELECT xmlforest(d.id, d.name AS label) AS x FROM ref.dealers d ORDER BY d.id;
-- fails with 0A000

SELECT xmlagg(xmlelement(NAME d, name) ORDER BY id) AS x FROM ref.dealers;
-- fails with 0A000

SELECT xmlserialize(CONTENT xmlelement(NAME d, name) AS text) AS x FROM ref.dealers ORDER BY id;
-- fails with 0A000

SELECT xmlconcat('<a/>'::xml, xmlcomment('x'), xmlpi(NAME php, 'echo')) AS x, xmlparse(DOCUMENT '<a>1</a>') AS d, xmlparse(CONTENT 'a' PRESERVE WHITESPACE) AS c;
-- fails with 0A000

SELECT xmlroot(xmlparse(DOCUMENT '<a/>'), VERSION '1.0', STANDALONE YES) AS r, '<a/>'::xml IS DOCUMENT AS d, xmlserialize(DOCUMENT '<a><b/></a>'::xml AS varchar(40) INDENT) AS s;
-- fails with 0A000

SELECT xpath('/a/text()', '<a>1</a>')::text AS p, xpath_exists('/a', '<a/>') AS e, xml_is_well_formed('<a>') AS w, xmlexists('/a' PASSING BY VALUE '<a/>') AS x;
-- fails with 0A000

SELECT x.* FROM XMLTABLE('/r/d' PASSING xml '<r><d id="1">A</d><d id="2">B</d></r>' COLUMNS n FOR ORDINALITY, id int PATH '@id', name text PATH '.', other text PATH 'o' DEFAULT 'none') AS x ORDER BY n;
-- fails with 0A000
