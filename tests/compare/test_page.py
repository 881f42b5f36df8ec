import base64

from robo_rl.compare import page

NASTY = "<b>&\"'"


def test_every_text_is_escaped():
    made = [
        page.page(NASTY, ""), page.paragraph(NASTY), page.heading(NASTY), page.bullets([NASTY]),
        page.table([NASTY], [[NASTY]]), page.figure(b"<svg/>", NASTY), page.download(NASTY, "text/csv", b""),
        page.preformatted(NASTY),
    ]  # fmt: skip
    for markup in made:
        assert "<b>" not in markup
        assert "&lt;b&gt;&amp;" in markup
    assert 'alt="&lt;b&gt;&amp;&quot;&#x27;"' in page.figure(b"<svg/>", NASTY)


def test_numbers_are_set_apart_from_words_and_others_rows_in_grey():
    markup = page.table(["Loss", "IQM"], [["MSE", "0.5"], ["BRO", "0.9"]], theirs=[1])
    assert '<td>MSE</td><td class="number">0.5</td>' in markup
    assert markup.count("<tr class=theirs>") == 1


def test_a_download_holds_the_file_itself():
    link = page.download("scores.csv", "text/csv", b"a,b\n1,2\n")
    content = link.partition("base64,")[2].partition('"')[0]
    assert base64.b64decode(content) == b"a,b\n1,2\n"
    assert 'download="scores.csv"' in link


def test_nothing_to_list_leaves_no_list():
    assert page.bullets([]) == ""
