"""What scikit-learn expects of an estimator, without needing it."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Generic, TypeVar

from ._errors import Error, InputError


class NotFittedError(Error, ValueError, AttributeError):
    """The estimator has not been fitted."""


NotFittedError.__module__ = "himacl"


_Compiled = TypeVar("_Compiled")


class Estimator:
    """Parameters by name, as ``sklearn.base.BaseEstimator`` has them."""

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Any:
        """Sets parameters by name."""
        known = self._names()
        for name, value in params.items():
            if name not in known:
                raise InputError(f"{type(self).__name__} has no parameter `{name}`, expected one of {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = (f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name].default)
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_map")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="transformer",
            target_tags=TargetTags(required=True),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(),
        )


class Fitted(Estimator, Generic[_Compiled]):
    """An estimator around a map of the compiled module, which is kept as bytes when pickled."""

    #: The compiled attributes and their classes.
    _compiled: ClassVar[dict[str, Any]]
    _map: _Compiled

    def _fitted(self) -> _Compiled:
        if not hasattr(self, "_map"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted\nhint: call fit(x, y) first")
        return self._map

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        for name in self._compiled:
            if state.get(name) is not None:
                state[name] = state[name].to_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name, kind in self._compiled.items():
            if state.get(name) is not None:
                setattr(self, name, kind.from_bytes(state[name]))
