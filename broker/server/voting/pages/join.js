// The page of an invitation: a press of the button makes a voter; a browser that has made one goes on as that one.
"use strict";

const begin = document.getElementById("begin");
const news = document.getElementById("news");
const place = `vote:${location.pathname}`;

function kept() {
  try {
    return localStorage.getItem(place);
  } catch {
    return null; // private windows may have none
  }
}

function keep(link) {
  try {
    localStorage.setItem(place, link);
  } catch {
    // then the link is in the address bar alone
  }
}

async function join() {
  begin.disabled = true;
  try {
    const known = kept();
    if (known && (await fetch(`${known}/state`, { cache: "no-store" })).ok) {
      location.assign(known);
      return;
    }
    const answer = await fetch(location.pathname, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    const data = await answer.json();
    if (!answer.ok) {
      throw new Error(data.error.message);
    }
    keep(data.link);
    location.assign(data.link);
  } catch (error) {
    news.textContent = error instanceof TypeError ? "The server cannot be reached. Try again." : error.message;
    news.classList.add("shown");
    begin.disabled = false;
  }
}

if (kept()) {
  begin.textContent = "Go on";
}
begin.addEventListener("click", join);
