// HTML as it is where Vega was not installed when pkv was built.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "show/html/pieces.h"

namespace pkv::show::html {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(HtmlWithoutVega, SaysWhatAChartWouldShowAndThatItIsMissing) {
  const Html all = chart({.title = "Time", .caption = text("per token"), .specification = "{}"});
  EXPECT_THAT(all.markup, HasSubstr("Time"));
  EXPECT_THAT(all.markup, HasSubstr("per token"));
  EXPECT_THAT(all.markup, HasSubstr("A chart would be here; this pkv was built without Vega, which draws it."));
  EXPECT_THAT(all.markup, Not(HasSubstr("script")));
}

TEST(HtmlWithoutVega, HoldsItsStyleAndNoScript) {
  const std::string all = file({.title = "a", .body = paragraph(text("b"))});
  EXPECT_THAT(all, HasSubstr(":root {"));
  EXPECT_THAT(all, HasSubstr("<p>b</p>"));
  EXPECT_EQ(all.find("<script"), all.rfind("<script")) << "only what fits tables";
  EXPECT_THAT(all, Not(HasSubstr("licence\"")));
}

}  // namespace
}  // namespace pkv::show::html
