"""The question about what is held, as Airflow puts it to a person under *Required Actions*: a headline, and Markdown.

It holds counts, codes and their words, and no value of a contact. Airflow's buttons have their English names in either
language, since an answer is one of the options that the DAG gave.
"""

from __future__ import annotations

from sync_lib.operate.approval import Question
from sync_lib.store.holds import HeldActions
from sync_lib.web import words
from sync_lib.web.language import in_language, msg, number

#: How many kinds of held changes a question lists.
MOST_KINDS = 10

_RIGHT_NUMBER = msg(
    "%(count)s is the right number. All profiles of the company are synced in full, and the deletes that follow are "
    "judged by the guard of each profile."
)
_CARRIED_OUT = msg(
    "both sides are read again, and exactly these changes are carried out, as far as they still come out the same. "
    "What has changed since is asked about again."
)
_EMPTIED = msg(
    "what was in the emptied folder is left away, until Business Central changes it. Approve to bring it back. "
    "Anything else that is listed is not done."
)
_REJECTED = msg(
    "nothing is written. New contacts that are rejected are not made in Business Central whatever becomes of them, "
    "until somebody asks again; a value that is overwritten is asked about again once it is another one."
)


def in_words(question: Question, language: str, page: str) -> tuple[str, str]:
    """Return headline and text of a question.

    Args:
        question: What is asked.
        language: ``en`` or ``nl``.
        page: The address of the hold's page.
    """
    writer = _Writer(language)
    subject, body = writer.of_profile(question) if question.mailbox else writer.of_company(question)
    return subject, f"{body}\n\n[{writer.text(msg('All that waits, contact by contact'))}]({page})"


class _Writer:
    def __init__(self, language: str) -> None:
        self._language = language

    def text(self, message: str, **values: object) -> str:
        return in_language(self._language, message, **values)

    def of_company(self, question: Question) -> tuple[str, str]:
        offered, accepted = self._number(question.offered), self._number(question.accepted)
        subject = self.text(
            msg("%(company)s: Business Central lists only %(count)s contacts"),
            company=question.company,
            count=offered,
        )
        why = msg(
            "%(count)s contacts were accepted before. Nothing of this company is synced while this waits; nothing "
            "counts as deleted. Often the app has lost a permission, or the environment is being restored."
        )
        waits = msg("the company waits on, until the number changes.")
        right = self.text(_RIGHT_NUMBER, count=offered)
        return subject, self._join(self.text(why, count=accepted), right, self.text(waits))

    def of_profile(self, question: Question) -> tuple[str, str]:
        total = sum(kind.count for kind in question.kinds)
        subject = self.text(
            msg("%(count)s changes of %(mailbox)s (%(folder)s) wait for a decision"),
            count=self._number(total),
            mailbox=question.mailbox,
            folder=question.folder,
        )
        what = f"{self.text(msg('Company'))} {question.company}. {self._per_action(question)}"
        titles = (msg("Changes"), msg("What"), msg("Planned because"), msg("Held because"))
        head = f"| {' | '.join(self.text(title) for title in titles)} |"
        rows = [self._row(kind) for kind in question.kinds[:MOST_KINDS]]
        table = "\n".join([head, "| --: | --- | --- | --- |", *rows])
        left = len(question.kinds) - MOST_KINDS
        more = [self.text(msg("and %(count)s more"), count=left)] if left > 0 else []
        rejected = self.text(_EMPTIED if question.is_emptied else _REJECTED)
        return subject, self._join("\n\n".join([what, table, *more]), self.text(_CARRIED_OUT), rejected)

    def _join(self, text: str, approve: str, reject: str) -> str:
        return f"{text}\n\n**Approve**: {approve}\n\n**Reject**: {reject}"

    def _per_action(self, question: Question) -> str:
        counts: dict[str, int] = {}
        for kind in question.kinds:
            counts[kind.action] = counts.get(kind.action, 0) + kind.count
        said = (f"{self._number(count)} × {self._word(action)}" for action, count in sorted(counts.items()))
        return ", ".join(said) + "."

    def _row(self, kind: HeldActions) -> str:
        # The code as well: it is what logs, the handbook and the command line say.
        why = f"{self.text(words.reason_of(kind.reason).means)} (`{kind.reason}`)"
        return (
            f"| {self._number(kind.count)} | {self._word(kind.action)} | {self._word(kind.cause)} | {why} |"
        )

    def _word(self, code: str) -> str:
        return self.text(words.word_of(code))

    def _number(self, count: int) -> str:
        return number(count, self._language)
