# One image for all services; the command says which: node dist/{gateway,write-side,read-side}/main.js
# and node dist/write-side/migrate.js for the migrations; node dist/cli/main.js for operators. What .dockerignore lets in is all it needs.

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build

FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# Node itself is among the packages, for machines whose own is too old; here it isn't.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund && rm -rf node_modules/node-linux-*

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json ./
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist dist
USER node
EXPOSE 4000
CMD ["node", "dist/gateway/main.js"]
