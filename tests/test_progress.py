from clearsight.progress import Silent


def test_silent_says_nothing(capfd) -> None:
    silent = Silent()
    silent.say("hello")
    with silent.task("work", 3) as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")
