"""torch._dynamo.exc: the errors of torch.compile."""

from funnn.torch._compiling.errors import BackendCompilerFailed as BackendCompilerFailed
from funnn.torch._compiling.errors import CondOpArgsMismatchError as CondOpArgsMismatchError
from funnn.torch._compiling.errors import FailOnRecompileLimitHit as FailOnRecompileLimitHit
from funnn.torch._compiling.errors import InfiniteGeneratorError as InfiniteGeneratorError
from funnn.torch._compiling.errors import InternalTorchDynamoError as InternalTorchDynamoError
from funnn.torch._compiling.errors import InvalidBackend as InvalidBackend
from funnn.torch._compiling.errors import ObservedException as ObservedException
from funnn.torch._compiling.errors import PackageError as PackageError
from funnn.torch._compiling.errors import RecompileError as RecompileError
from funnn.torch._compiling.errors import ResetRequired as ResetRequired
from funnn.torch._compiling.errors import RestartAnalysis as RestartAnalysis
from funnn.torch._compiling.errors import ShortenTraceback as ShortenTraceback
from funnn.torch._compiling.errors import SkipFrame as SkipFrame
from funnn.torch._compiling.errors import StepUnsupported as StepUnsupported
from funnn.torch._compiling.errors import TorchDynamoException as TorchDynamoException
from funnn.torch._compiling.errors import TorchRuntimeError as TorchRuntimeError
from funnn.torch._compiling.errors import UncapturedHigherOrderOpError as UncapturedHigherOrderOpError
from funnn.torch._compiling.errors import Unsupported as Unsupported
from funnn.torch._compiling.errors import UserError as UserError
from funnn.torch._compiling.errors import UserErrorType as UserErrorType
