// Uses something compiled of every room that has something, through headers as they are installed.
#include <base/error.h>
#include <base/pool.h>
#include <checker/compare/report.h>
#include <checker/session/session.h>
#include <engine/tensor/buffer.h>
#include <engine/tensor/view.h>

#include <cstdio>

int main() {
  try {
    pkv::fail_usage({.what = "nothing to do"});
  } catch (const pkv::Error& error) {
    const float numbers[6] = {};
    const pkv::View view(numbers, pkv::DType::f32, {2, 3});
    const pkv::session::Logits logits{3, {1, 2, 3, 4, 5, 6}};
    const std::string page = pkv::check::report_html({});
    if (page.find("naming = \"vega-view\"") == std::string::npos) return 1;
    std::printf("consumer: %s, %s, %d, %d threads, a page of %d bytes\n", error.what(), pkv::shape_text(view).c_str(),
                static_cast<int>(logits.rows()), pkv::WorkerPool(2).threads(), static_cast<int>(page.size()));
  }
}
