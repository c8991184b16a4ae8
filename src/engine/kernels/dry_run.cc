#include "engine/kernels/dry_run.h"

#include <utility>

#include "engine/kernels/numerics.h"

namespace pkv::kernels {
namespace {

thread_local std::set<std::string>* noting = nullptr;

// Stands in an operation's place, whatever it gives back.
template <auto op>
struct Instead;
template <class Result, class Call, Result (*Ops::*op)(Device&, const Call&) noexcept>
struct Instead<op> {
  static Result nothing(Device&, const Call&) noexcept { return Result(); }
  static Result noted(Device&, const Call& call) noexcept {
    for (std::string& name : names_of(call)) noting->insert(std::move(name));
    return Result();
  }
};

Ops dry(Ops ops) {
  ops.embed = Instead<&Ops::embed>::nothing;
  ops.append = Instead<&Ops::append>::nothing;
  ops.pick = Instead<&Ops::pick>::nothing;
  ops.convert = Instead<&Ops::convert>::nothing;
  ops.norm = Instead<&Ops::norm>::noted;
  ops.linear = Instead<&Ops::linear>::noted;
  ops.angles = Instead<&Ops::angles>::noted;
  ops.rotate = Instead<&Ops::rotate>::noted;
  ops.attend = Instead<&Ops::attend>::noted;
  ops.convolve = Instead<&Ops::convolve>::noted;
  ops.recur = Instead<&Ops::recur>::noted;
  ops.gate = Instead<&Ops::gate>::noted;
  ops.scale = Instead<&Ops::scale>::noted;
  ops.add = Instead<&Ops::add>::noted;
  ops.route = Instead<&Ops::route>::noted;
  ops.expert_linear = Instead<&Ops::expert_linear>::noted;
  ops.mix = Instead<&Ops::mix>::noted;
  return ops;
}

}  // namespace

DryRun::DryRun(const Backend& like)
    : ops_(dry(like.ops())), backend_(ops_, like), outer_(std::exchange(noting, &names_)) {}

DryRun::~DryRun() { noting = outer_; }

}  // namespace pkv::kernels
