// Calling the operations of a backend:
//
//   call(backend, &Ops::norm, {.x = x, .weight = w, .out = out});
//
// Builds that are not for release check that every operand lies where the backend's operations can read it: in memory
// of this device (Memory), or in anybody's memory of the host where the table works there. A view of another device's
// memory is Error::internal, before anything is computed.
#pragma once

#include <span>
#include <type_traits>

#include "engine/kernels/backend.h"
#include "engine/kernels/kernels.h"

namespace pkv::kernels {

void require_own(const Backend& backend, std::span<const View* const> operands);

template <class Call>
void call(const Backend& backend, void (*Ops::*operation)(Device&, const Call&) noexcept,
          const std::type_identity_t<Call>& what) {
  require_own(backend, what.operands());
  (backend.ops().*operation)(backend.device(), what);
}

// The sequences of a pass in memory of the backend, which grows where it is too small, and must stay until what uses
// the batch is done.
Batch begin(const Backend& backend, std::span<const Sequence> sequences, Memory& memory);

}  // namespace pkv::kernels
